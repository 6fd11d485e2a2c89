"""Transport without CAP_NET_RAW: aioping over datagram ICMP sockets, one socket for each check.

The kernel assigns an id to each of these sockets and delivers only replies with that id. aioping itself checks neither
source nor sequence number nor payload of a reply; it does not support socket options, kernel timestamps or ICMP errors,
and leaves descriptors and watchers behind when it is cancelled. It is therefore given a socket that implements all of
that (`filtered_socket.py`) and is closed here. The number of checks at a time is limited by the number of sockets.
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

# Never reached: aioping's own timeout would close the socket before replies that came in time are read.
_NO_TIMEOUT_S = 86_400.0
_NO_FREE_SOCKET = Verdict(
    Status.UNKNOWN,
    PingReason.NO_SLOT,
    "Too many other pings were in progress; with CAP_NET_RAW there is no such limit.",
)


class DatagramIcmpTransport:
    """Runs each series on a socket of its own."""

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

    async def run_series(self, series: EchoSeries, pace: SendTiming, deadline: float) -> SeriesEnd:
        try:
            # Until then the requests, sent at once, still have their full reply timeout.
            async with asyncio.timeout_at(deadline - pace.reply_timeout_s):
                await self._free_sockets.acquire()
        except TimeoutError:
            return SeriesEnd(_NO_FREE_SOCKET)
        try:
            with FilteredSocket(series) as sock:
                return await self._run(series, pace, deadline, sock)
        except OSError as error:
            return SeriesEnd(
                FAMILY_UNSUPPORTED if error.errno == errno.EAFNOSUPPORT else send_error_verdict(error, series)
            )
        finally:
            self._free_sockets.release()

    async def _run(self, series: EchoSeries, pace: SendTiming, deadline: float, sock: FilteredSocket) -> SeriesEnd:
        leave_by = deadline - pace.reply_timeout_s / 2

        async def send(packet: EchoRequest) -> Verdict | None:
            while True:
                fault = await self._send(series, packet, sock, leave_by)
                if fault is not SEND_QUEUE_FULL or self._loop.time() + SEND_RETRY_S >= leave_by:
                    return fault
                await asyncio.sleep(SEND_RETRY_S)

        try:
            async with asyncio.TaskGroup() as group:
                listening = group.create_task(_receive_replies(sock))
                fault = await send_requests(series, pace, deadline, send)
                await wait_settled(series, min(self._loop.time() + pace.reply_timeout_s, deadline))
                await cancel_and_wait([listening])
        finally:
            # aioping leaves its reader behind when it is cancelled.
            self._loop.remove_reader(sock.fileno())
        sock.drain()
        return SeriesEnd(fault, buffer_overflowed=not series.is_settled and socket_options.drop_count(sock) > 0)

    async def _send(
        self, series: EchoSeries, packet: EchoRequest, sock: FilteredSocket, leave_by: float
    ) -> Verdict | None:
        sock.set_next(packet)
        try:
            async with asyncio.timeout_at(leave_by):
                await aioping.send_one_ping(sock, series.address, packet.key, 0, series.family)
        except TimeoutError:
            return SEND_QUEUE_FULL
        except OSError as error:
            return send_error_verdict(error, series)
        finally:
            # A cancelled aioping would still send.
            self._loop.remove_writer(sock.fileno())
        return None


async def _receive_replies(sock: FilteredSocket) -> None:
    while True:
        try:
            delay_s = await aioping.receive_one_ping(sock, 0, _NO_TIMEOUT_S)
        except PendingIcmpError:
            await asyncio.sleep(0)  # so that endless errors do not block the loop
        else:
            sock.record_reply(delay_s)


def open_datagram_transport(loop: asyncio.AbstractEventLoop, slots_max: int) -> DatagramIcmpTransport | None:
    """Returns a transport over datagram sockets; None if this process may not open them."""
    for family in socket_options.PROTOCOLS:
        try:
            socket.socket(family, socket.SOCK_DGRAM, socket_options.PROTOCOLS[family]).close()
        except PermissionError:
            return None
        except OSError as error:
            if error.errno != errno.EAFNOSUPPORT:
                raise
    return DatagramIcmpTransport(loop, slots_max)
