"""What the ways of pinging share: the pace of one check, its waits, and what it means when a packet cannot leave."""

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
FAMILY_UNSUPPORTED = Verdict(Status.UNKNOWN, Reason.NO_ROUTE, "This machine does not speak the address's family of IP.")


class SeriesEnd(NamedTuple):
    """How an exchange ended: why packets stayed here, if any did, and whether our buffer dropped some that came."""

    send_failure: Verdict | None = None
    buffer_overflowed: bool = False


class IcmpTransport(Protocol):
    """A way of sending echo requests. Entered once per process."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def run_series(self, flight: EchoSeries, pace: SendTiming, deadline: float) -> SeriesEnd:
        """Sends the packets at their pace and fills the flight; `deadline` is an instant of the loop's clock."""
        ...


class UnavailableTransport:
    """The way of a process that may open no ICMP socket at all."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    async def run_series(self, flight: EchoSeries, pace: SendTiming, deadline: float) -> SeriesEnd:
        del flight, pace, deadline
        return SeriesEnd(Verdict(Status.UNKNOWN, PingReason.NO_ICMP, f"This process may not ping: {REMEDY}."))


REMEDY = (
    "give it the capability CAP_NET_RAW, or let its group have ICMP sockets "
    '(sysctl net.ipv4.ping_group_range="0 2147483647")'
)


async def send_requests(
    flight: EchoSeries, pace: SendTiming, deadline: float, send: Callable[[EchoRequest], Awaitable[Verdict | None]]
) -> Verdict | None:
    """Sends the packets one after the other; what came late makes the rest come faster. Returns what stopped it."""
    loop = asyncio.get_running_loop()
    for place, packet in enumerate(flight.requests):
        if place:
            await asyncio.sleep(send_delay_s(pace, deadline, loop.time(), len(flight.requests) - place))
        fault = await send(packet)
        if fault is not None:
            return fault
    return None


def send_delay_s(pace: SendTiming, deadline: float, now: float, left: int) -> float:
    """Returns how long to wait with the next of `left` packets, so that the last one still has its patience."""
    return min(pace.interval_s, max(deadline - pace.reply_timeout_s - now, 0.0) / left)


def send_error_verdict(error: OSError, flight: EchoSeries) -> Verdict:
    """Returns what it means that a packet did not leave; raises `error` again when nobody foresaw it."""
    if error.errno == errno.EMSGSIZE and flight.dont_fragment:
        detail = "The packet is larger than this machine's own link takes, and dont_fragment is set."
        return Verdict(Status.UNKNOWN, PingReason.PACKET_TOO_LARGE, detail)
    if socket_options.is_transient(error):
        return SEND_QUEUE_FULL
    return connect_verdict(error, answered=False)


async def wait_settled(flight: EchoSeries, until: float) -> None:
    """Returns when every packet has been answered, one way or the other, or at `until`; at once if none has left."""
    if flight.is_settled or all(packet.sent_at is None for packet in flight.requests):
        return
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def wake() -> None:
        if not done.done():
            done.set_result(None)

    flight.on_settled = wake
    timer = loop.call_at(until, wake)
    try:
        await done
    finally:
        timer.cancel()
