"""The packets of one check and what became of them: what counts, and what never does. Pure."""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from services.ping.packet import Reply, Report
from services.ping.spec import TOKEN_BYTES

# Two clocks that run a little differently are no step (NTP slews by at most 500 ppm).
STEP_NS = 1_000_000
SLEW_PPM = 1000
_PADDING = bytes(range(0x10, 0x80)) * 600


class Instant(NamedTuple):
    """One moment by two clocks, in nanoseconds: CLOCK_MONOTONIC and CLOCK_REALTIME."""

    monotonic_ns: int
    real_ns: int


@dataclass(slots=True)
class Packet:
    """One echo request. `key` is its id and sequence number, which the way that sends it sets."""

    payload: bytes
    key: int = 0
    sent: Instant | None = None
    rtt_s: float | None = None
    answered: bool = False
    report: Report | None = None


def payloads(count: int, size_bytes: int) -> list[Packet]:
    """Returns packets with a random token each, so that nobody can answer what he has not seen."""
    padding = _PADDING[: size_bytes - TOKEN_BYTES]
    tokens = os.urandom(count * TOKEN_BYTES)
    return [Packet(tokens[at : at + TOKEN_BYTES] + padding) for at in range(0, len(tokens), TOKEN_BYTES)]


@dataclass(slots=True, eq=False)
class Flight:
    """The packets of one check on their way to one address."""

    family: socket.AddressFamily
    address: str
    packets: list[Packet]
    patience_s: float
    ttl: int | None = None
    dont_fragment: bool = False
    number: int = 0  # the sequence number of the first packet, which the others follow
    duplicates: int = 0
    late: int = 0
    damaged: int = 0
    unstamped: int = 0  # answers in time whose round-trip time is by our own clock, and as long as our own stalls
    reply_ttl: int | None = None
    settled: int = 0
    on_settled: Callable[[], None] = lambda: None
    packed: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.packed = socket.inet_pton(self.family, self.address)
        # As the kernel writes it beside what it received.
        self.address = socket.inet_ntop(self.family, self.packed)

    @property
    def version(self) -> int:
        return 6 if self.family == socket.AF_INET6 else 4

    @property
    def is_settled(self) -> bool:
        """Tells that nothing more needs to be waited for: every packet was answered, or somebody said why not."""
        return self.settled == len(self.packets)

    def is_answer(self, packet: Packet, reply: Reply, source: str) -> bool:
        """Tells whether a reply is the packet's own, with all of its bytes; notes it if they were damaged on the way."""
        if source != self.address:
            return False
        if reply.intact and reply.payload == packet.payload:
            return True
        if reply.payload[:TOKEN_BYTES] == packet.payload[:TOKEN_BYTES]:
            self.damaged += 1
        return False

    def take(self, packet: Packet, rtt_s: float, ttl: int | None, *, stamped: bool = True) -> None:
        """Counts an answer: the first one in time; late ones and repeats are told apart and prove nothing more.

        `stamped` tells that `rtt_s` ends when the kernel took the answer in, and not when we read it.
        """
        if packet.answered:
            self.duplicates += 1
            return
        packet.answered = True
        if rtt_s > self.patience_s:
            self.late += 1
        else:
            packet.rtt_s = rtt_s
            self.unstamped += not stamped
            self.reply_ttl = ttl if ttl is not None else self.reply_ttl
        if packet.report is None:
            self._settle()

    def note(self, packet: Packet, report: Report) -> None:
        """Keeps an ICMP error about the packet, if it quotes the packet as it was sent."""
        quoted = report.quoted[:TOKEN_BYTES]
        if report.target != self.packed or quoted != packet.payload[: len(quoted)]:
            return
        if packet.report is None and not packet.answered:
            packet.report = report
            self._settle()

    def _settle(self) -> None:
        self.settled += 1
        if self.is_settled:
            self.on_settled()


def kernel_rtt_s(sent: Instant, read: Instant, stamp_ns: int | None) -> float | None:
    """Returns the round-trip time by the kernel's stamp, or None if that cannot be trusted.

    The stamp is by CLOCK_REALTIME, and free of our own lateness. It counts unless that clock was set in between,
    which shows in the two clocks drifting apart.
    """
    if stamp_ns is None:
        return None
    by_us_ns = read.monotonic_ns - sent.monotonic_ns
    drift_ns = read.real_ns - sent.real_ns - by_us_ns
    if abs(drift_ns) > STEP_NS + by_us_ns * SLEW_PPM // 1_000_000:
        return None
    by_kernel_ns = stamp_ns - sent.real_ns
    return by_kernel_ns / 1e9 if 0 <= by_kernel_ns <= by_us_ns + STEP_NS else None


class Pace(NamedTuple):
    """How the packets of one check are spread, in seconds: one each `interval_s`, each waited for `patience_s`."""

    interval_s: float
    patience_s: float


def pace(budget_s: float, packets: int, interval_s: float, patience_s: float) -> Pace:
    """Returns the pace that is asked for, made faster where `budget_s` seconds do not suffice for it.

    The last packet needs its patience too, so that is cut to half of the budget at most, then the spread to the rest.
    """
    budget_s = max(budget_s, 0.0)
    if (packets - 1) * interval_s + patience_s <= budget_s:
        return Pace(interval_s, patience_s)
    patience_s = min(patience_s, budget_s if packets == 1 else max(budget_s / 2, budget_s - (packets - 1) * interval_s))
    return Pace((budget_s - patience_s) / max(packets - 1, 1), patience_s)
