"""State of the echo requests of one check: matching, counting and timing of replies. Pure."""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from services.ping.icmp import EchoReply, IcmpError
from services.ping.spec import TOKEN_BYTES

# Tolerated difference of the clocks that is not a step (NTP slews by at most 500 ppm).
CLOCK_STEP_NS = 1_000_000
CLOCK_SLEW_PPM_MAX = 1000
_PADDING = bytes(range(0x10, 0x80)) * 600


class DualTimestamp(NamedTuple):
    """One instant by CLOCK_MONOTONIC and CLOCK_REALTIME, in nanoseconds."""

    monotonic_ns: int
    real_ns: int


@dataclass(slots=True)
class EchoRequest:
    """One echo request. `key` is its id and sequence number, set by the transport."""

    payload: bytes
    key: int = 0
    sent_at: DualTimestamp | None = None
    rtt_s: float | None = None
    answered: bool = False
    error: IcmpError | None = None


def make_requests(count: int, size_bytes: int) -> list[EchoRequest]:
    """Returns requests with a random token each, so that a reply cannot be forged without seeing the request."""
    padding = _PADDING[: size_bytes - TOKEN_BYTES]
    tokens = os.urandom(count * TOKEN_BYTES)
    return [EchoRequest(tokens[at : at + TOKEN_BYTES] + padding) for at in range(0, len(tokens), TOKEN_BYTES)]


@dataclass(slots=True, eq=False)
class EchoSeries:
    """The echo requests of one check to one address, and the counts of their replies."""

    family: socket.AddressFamily
    address: str
    requests: list[EchoRequest]
    reply_timeout_s: float
    ttl: int | None = None
    dont_fragment: bool = False
    first_sequence: int = 0  # sequence number of the first request; the others are consecutive
    duplicates: int = 0
    late: int = 0
    damaged: int = 0
    without_timestamp: int = 0  # replies in time without kernel timestamp: their RTT includes stalls of this process
    reply_ttl: int | None = None
    settled_count: int = 0
    on_settled: Callable[[], None] = lambda: None
    packed_address: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.packed_address = socket.inet_pton(self.family, self.address)
        # In the notation of recvmsg(), for comparison.
        self.address = socket.inet_ntop(self.family, self.packed_address)

    @property
    def version(self) -> int:
        return 6 if self.family == socket.AF_INET6 else 4

    @property
    def is_settled(self) -> bool:
        """Whether every request has a reply or an ICMP error, so that there is nothing to wait for."""
        return self.settled_count == len(self.requests)

    def check_reply(self, packet: EchoRequest, reply: EchoReply, source: str) -> bool:
        """Returns whether a reply matches the request in source and payload; counts it if its payload is damaged."""
        if source != self.address:
            return False
        if reply.checksum_ok and reply.payload == packet.payload:
            return True
        if reply.payload[:TOKEN_BYTES] == packet.payload[:TOKEN_BYTES]:
            self.damaged += 1
        return False

    def record_reply(self, packet: EchoRequest, rtt_s: float, ttl: int | None, *, stamped: bool = True) -> None:
        """Counts a matching reply.

        The first one answers the request, if it is in time; the others are late or duplicates. `stamped`: `rtt_s` is by
        the kernel's receive timestamp, not by the time at which this process read the reply.
        """
        if packet.answered:
            self.duplicates += 1
            return
        packet.answered = True
        if rtt_s > self.reply_timeout_s:
            self.late += 1
        else:
            packet.rtt_s = rtt_s
            self.without_timestamp += not stamped
            self.reply_ttl = ttl if ttl is not None else self.reply_ttl
        if packet.error is None:
            self._mark_settled()

    def record_error(self, packet: EchoRequest, report: IcmpError) -> None:
        """Records an ICMP error about a request, if it quotes the request as it was sent."""
        quoted = report.quoted_payload[:TOKEN_BYTES]
        if report.quoted_destination != self.packed_address or quoted != packet.payload[: len(quoted)]:
            return
        if packet.error is None and not packet.answered:
            packet.error = report
            self._mark_settled()

    def _mark_settled(self) -> None:
        self.settled_count += 1
        if self.is_settled:
            self.on_settled()


def kernel_rtt_s(sent: DualTimestamp, read: DualTimestamp, stamp_ns: int | None) -> float | None:
    """Returns the round-trip time by the kernel's receive timestamp, or None if that is not reliable.

    The timestamp is by CLOCK_REALTIME, and independent of delays in this process. It is used unless that clock was
    stepped in between, which shows as drift between the two clocks.
    """
    if stamp_ns is None:
        return None
    by_us_ns = read.monotonic_ns - sent.monotonic_ns
    drift_ns = read.real_ns - sent.real_ns - by_us_ns
    if abs(drift_ns) > CLOCK_STEP_NS + by_us_ns * CLOCK_SLEW_PPM_MAX // 1_000_000:
        return None
    by_kernel_ns = stamp_ns - sent.real_ns
    return by_kernel_ns / 1e9 if 0 <= by_kernel_ns <= by_us_ns + CLOCK_STEP_NS else None


class SendTiming(NamedTuple):
    """Timing of one check's requests, in seconds: one every `interval_s`, each with `reply_timeout_s` for its reply."""

    interval_s: float
    reply_timeout_s: float


def fit_timing(budget_s: float, packets: int, interval_s: float, patience_s: float) -> SendTiming:
    """Returns the requested timing, compressed where it does not fit into `budget_s` seconds.

    The reply timeout of the last request is shortened first, to half of the budget at least; the interval gets the
    rest.
    """
    budget_s = max(budget_s, 0.0)
    if (packets - 1) * interval_s + patience_s <= budget_s:
        return SendTiming(interval_s, patience_s)
    patience_s = min(patience_s, budget_s if packets == 1 else max(budget_s / 2, budget_s - (packets - 1) * interval_s))
    return SendTiming((budget_s - patience_s) / max(packets - 1, 1), patience_s)
