"""Interface of ICMP transports, and their shared pacing, waiting and error mapping."""

import asyncio
import errno
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from libs.model.outcome import Reason, Status
from libs.net.verdict import Verdict, connect_verdict
from services.ping.echo_series import EchoRequest, EchoSeries, SendTiming
from services.ping.spec import PingReason
from services.ping.transports import socket_options

SEND_RETRY_S = 0.005
SEND_QUEUE_FULL = Verdict(Status.UNKNOWN, Reason.NO_BUFFERS, "This machine could not send the packets in time.")
FAMILY_UNSUPPORTED = Verdict(
    Status.UNKNOWN, Reason.NO_ROUTE, "This machine does not support the address family of the target."
)


class SeriesEnd(NamedTuple):
    """End of a series: what kept requests from being sent, if anything, and whether the receive buffer overflowed."""

    send_failure: Verdict | None = None
    buffer_overflowed: bool = False


class IcmpTransport(Protocol):
    """Sends echo requests and records their replies. Entered once per process."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def run_series(self, series: EchoSeries, pace: SendTiming, deadline: float) -> SeriesEnd:
        """Sends the requests and records replies in the series; `deadline` is an instant of the loop's clock."""
        ...


class UnavailableTransport:
    """The transport of a process that may not open ICMP sockets."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    async def run_series(self, series: EchoSeries, pace: SendTiming, deadline: float) -> SeriesEnd:
        del series, pace, deadline
        return SeriesEnd(
            Verdict(Status.UNKNOWN, PingReason.NO_ICMP, f"This process may not open ICMP sockets: {REMEDY}.")
        )


REMEDY = (
    "give it the capability CAP_NET_RAW, or let its group have ICMP sockets "
    '(sysctl net.ipv4.ping_group_range="0 2147483647")'
)


async def send_requests(
    series: EchoSeries, pace: SendTiming, deadline: float, send: Callable[[EchoRequest], Awaitable[Verdict | None]]
) -> Verdict | None:
    """Sends the requests in turn; a delay makes the remaining ones follow faster.

    Returns the failure that stopped it.
    """
    loop = asyncio.get_running_loop()
    for place, packet in enumerate(series.requests):
        if place:
            await asyncio.sleep(send_delay_s(pace, deadline, loop.time(), len(series.requests) - place))
        fault = await send(packet)
        if fault is not None:
            return fault
    return None


def send_delay_s(pace: SendTiming, deadline: float, now: float, left: int) -> float:
    """Returns the delay before the next of `left` requests that keeps the reply timeout of the last one."""
    return min(pace.interval_s, max(deadline - pace.reply_timeout_s - now, 0.0) / left)


def send_error_verdict(error: OSError, series: EchoSeries) -> Verdict:
    """Returns the verdict on a failed send; raises `error` again if it is not a known one."""
    if error.errno == errno.EMSGSIZE and series.dont_fragment:
        detail = "The packet is larger than the MTU of this machine's own link, and dont_fragment is set."
        return Verdict(Status.UNKNOWN, PingReason.PACKET_TOO_LARGE, detail)
    if socket_options.is_transient(error):
        return SEND_QUEUE_FULL
    return connect_verdict(error, answered=False)


async def wait_settled(series: EchoSeries, until: float) -> None:
    """Waits until every request is settled, or until `until`; returns at once if none was sent."""
    if series.is_settled or all(packet.sent_at is None for packet in series.requests):
        return
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def wake() -> None:
        if not done.done():
            done.set_result(None)

    series.on_settled = wake
    timer = loop.call_at(until, wake)
    try:
        await done
    finally:
        timer.cancel()
