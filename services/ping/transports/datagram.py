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
from libs.net.verdict import Verdict
from libs.process.tasks import cancel_and_wait
from services.ping.echo_series import EchoRequest, EchoSeries, SendTiming
from services.ping.spec import PingReason
from services.ping.transports import socket_options
from services.ping.transports.base import (
    FAMILY_UNSUPPORTED,
    SEND_QUEUE_FULL,
    SEND_RETRY_S,
    SeriesEnd,
    send_error_verdict,
    send_requests,
    wait_settled,
)
from services.ping.transports.filtered_socket import FilteredSocket, PendingIcmpError

# Ours ends every wait first: aioping would close the socket before what came in time is read.
_NO_TIMEOUT_S = 86_400.0
_NO_FREE_SOCKET = Verdict(
    Status.UNKNOWN, PingReason.NO_SLOT, "Too many other pings were under way; with CAP_NET_RAW there is no such limit."
)


class DatagramIcmpTransport:
    """Sends each flight through a socket of its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop, slots_max: int) -> None:
        self.sockets_max = slots_max
        self._loop = loop
        self._free_sockets = asyncio.Semaphore(slots_max)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    async def run_series(self, flight: EchoSeries, pace: SendTiming, deadline: float) -> SeriesEnd:
        try:
            # As long as the packets, sent at once, would still have all of their patience.
            async with asyncio.timeout_at(deadline - pace.reply_timeout_s):
                await self._free_sockets.acquire()
        except TimeoutError:
            return SeriesEnd(_NO_FREE_SOCKET)
        try:
            with FilteredSocket(flight) as sock:
                return await self._run(flight, pace, deadline, sock)
        except OSError as error:
            return SeriesEnd(
                FAMILY_UNSUPPORTED if error.errno == errno.EAFNOSUPPORT else send_error_verdict(error, flight)
            )
        finally:
            self._free_sockets.release()

    async def _run(self, flight: EchoSeries, pace: SendTiming, deadline: float, sock: FilteredSocket) -> SeriesEnd:
        leave_by = deadline - pace.reply_timeout_s / 2

        async def send(packet: EchoRequest) -> Verdict | None:
            while True:
                fault = await self._send(flight, packet, sock, leave_by)
                if fault is not SEND_QUEUE_FULL or self._loop.time() + SEND_RETRY_S >= leave_by:
                    return fault
                await asyncio.sleep(SEND_RETRY_S)

        try:
            async with asyncio.TaskGroup() as group:
                listening = group.create_task(_receive_replies(sock))
                fault = await send_requests(flight, pace, deadline, send)
                await wait_settled(flight, min(self._loop.time() + pace.reply_timeout_s, deadline))
                await cancel_and_wait([listening])
        finally:
            # What aioping leaves behind when it is cancelled.
            self._loop.remove_reader(sock.fileno())
        sock.drain()
        return SeriesEnd(fault, buffer_overflowed=not flight.is_settled and socket_options.drop_count(sock) > 0)

    async def _send(
        self, flight: EchoSeries, packet: EchoRequest, sock: FilteredSocket, leave_by: float
    ) -> Verdict | None:
        sock.set_next(packet)
        try:
            async with asyncio.timeout_at(leave_by):
                await aioping.send_one_ping(sock, flight.address, packet.key, 0, flight.family)
        except TimeoutError:
            return SEND_QUEUE_FULL
        except OSError as error:
            return send_error_verdict(error, flight)
        finally:
            # Cancelled, aioping would go on and send all the same.
            self._loop.remove_writer(sock.fileno())
        return None


async def _receive_replies(sock: FilteredSocket) -> None:
    while True:
        try:
            delay_s = await aioping.receive_one_ping(sock, 0, _NO_TIMEOUT_S)
        except PendingIcmpError:
            await asyncio.sleep(0)  # so that errors without end leave the loop its turn
        else:
            sock.record_reply(delay_s)


def open_datagram_transport(loop: asyncio.AbstractEventLoop, slots_max: int) -> DatagramIcmpTransport | None:
    """Returns the way through datagram sockets; None when this process may not have them."""
    for family in socket_options.PROTOCOLS:
        try:
            socket.socket(family, socket.SOCK_DGRAM, socket_options.PROTOCOLS[family]).close()
        except PermissionError:
            return None
        except OSError as error:
            if error.errno != errno.EAFNOSUPPORT:
                raise
    return DatagramIcmpTransport(loop, slots_max)
