"""The way without CAP_NET_RAW: aioping over datagram ICMP sockets, one socket for each check, so many at a time.

The kernel gives each of these sockets an id of its own and delivers only replies that carry it. Whatever else can be
wrong with a reply aioping does not ask: where it comes from, which packet it answers, whether its bytes are ours. Nor
does it know options, kernel timestamps or ICMP errors, and cancelled it leaves descriptors and watchers behind. So it
is handed a socket that does all of that (`checked.py`), and that is closed here.
"""

import asyncio
import errno
import socket
from types import TracebackType
from typing import Self

import aioping  # type: ignore[import-untyped]

from libs.model.outcome import Status
from libs.net.fault import Fault
from libs.process.tasks import ended
from services.ping import sockets
from services.ping.checked import Checked, ReportedError
from services.ping.flight import Flight, Pace, Packet
from services.ping.spec import PingReason
from services.ping.way import NO_FAMILY, QUEUE_FULL, RETRY_S, Flown, fault_of, send_all, settled

# Ours ends every wait first: aioping would close the socket before what came in time is read.
_NEVER_S = 86_400.0
_NO_SLOT = Fault(
    Status.UNKNOWN, PingReason.NO_SLOT, "Too many other pings were under way; with CAP_NET_RAW there is no such limit."
)


class DatagramWay:
    """Sends each flight through a socket of its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, slots_max: int) -> None:
        self.slots_max = slots_max
        self._loop = loop
        self._slots = asyncio.Semaphore(slots_max)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    async def exchange(self, flight: Flight, pace: Pace, deadline: float) -> Flown:
        try:
            # As long as the packets, sent at once, would still have all of their patience.
            async with asyncio.timeout_at(deadline - pace.patience_s):
                await self._slots.acquire()
        except TimeoutError:
            return Flown(_NO_SLOT)
        try:
            with Checked(flight) as sock:
                return await self._exchange(flight, pace, deadline, sock)
        except OSError as error:
            return Flown(NO_FAMILY if error.errno == errno.EAFNOSUPPORT else fault_of(error, flight))
        finally:
            self._slots.release()

    async def _exchange(self, flight: Flight, pace: Pace, deadline: float, sock: Checked) -> Flown:
        leave_by = deadline - pace.patience_s / 2

        async def send(packet: Packet) -> Fault | None:
            while True:
                fault = await self._send(flight, packet, sock, leave_by)
                if fault is not QUEUE_FULL or self._loop.time() + RETRY_S >= leave_by:
                    return fault
                await asyncio.sleep(RETRY_S)

        try:
            async with asyncio.TaskGroup() as group:
                listening = group.create_task(_listen(sock))
                fault = await send_all(flight, pace, deadline, send)
                await settled(flight, min(self._loop.time() + pace.patience_s, deadline))
                await ended([listening])
        finally:
            # What aioping leaves behind when it is cancelled.
            self._loop.remove_reader(sock.fileno())
        sock.read_rest()
        return Flown(fault, overflown=not flight.is_settled and sockets.drops(sock) > 0)

    async def _send(self, flight: Flight, packet: Packet, sock: Checked, leave_by: float) -> Fault | None:
        sock.sends(packet)
        try:
            async with asyncio.timeout_at(leave_by):
                await aioping.send_one_ping(sock, flight.address, packet.key, 0, flight.family)
        except TimeoutError:
            return QUEUE_FULL
        except OSError as error:
            return fault_of(error, flight)
        finally:
            # Cancelled, aioping would go on and send all the same.
            self._loop.remove_writer(sock.fileno())
        return None


async def _listen(sock: Checked) -> None:
    while True:
        try:
            delay_s = await aioping.receive_one_ping(sock, 0, _NEVER_S)
        except ReportedError:
            await asyncio.sleep(0)  # so that errors without end leave the loop its turn
        else:
            sock.count(delay_s)


def open_datagram(loop: asyncio.AbstractEventLoop, slots_max: int) -> DatagramWay | None:
    """Returns the way through datagram sockets; None when this process may not have them."""
    for family in sockets.PROTOCOLS:
        try:
            socket.socket(family, socket.SOCK_DGRAM, sockets.PROTOCOLS[family]).close()
        except PermissionError:
            return None
        except OSError as error:
            if error.errno != errno.EAFNOSUPPORT:
                raise
    return DatagramWay(loop, slots_max)
