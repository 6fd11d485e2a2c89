"""Outcome of a probe: status, reason, samples, hops and facts."""

from enum import StrEnum

import msgspec

Fact = str | int | float | bool | None


class Status(StrEnum):
    """The status of a result. `unknown` is our own failure and `missed` a tick without a check: neither judges."""

    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"
    UNKNOWN = "unknown"
    MISSED = "missed"


class Reason(StrEnum):
    """The reasons that every kind shares. A kind adds its own in the `Reason` enum of its spec.py."""

    OK = "ok"
    # The target's side.
    NAME_NOT_FOUND = "name_not_found"  # the name does not exist, or has no address
    REFUSED = "refused"  # the connection was refused
    UNREACHABLE = "unreachable"  # no route behind ours, or an ICMP unreachable
    CONNECT_TIMEOUT = "connect_timeout"
    # Our side: `unknown`, never `down`.
    RESOLVER_FAILED = "resolver_failed"  # SERVFAIL, REFUSED or silence from our resolver
    NO_ROUTE = "no_route"  # this machine has no route or no address of that family
    NO_DESCRIPTORS = "no_descriptors"  # EMFILE, ENFILE
    NO_PORTS = "no_ports"  # EADDRNOTAVAIL: our ephemeral ports are used up
    NO_BUFFERS = "no_buffers"  # ENOBUFS, ENOMEM
    EGRESS_REFUSED = "egress_refused"  # our policy forbids this address
    SECRET_UNREADABLE = "secret_unreadable"  # noqa: S105 - a word; no key here opens a secret of the spec
    LATE_LOOP = "late_loop"  # our event loop stalled, so that a timeout proves nothing
    PROBE_CRASHED = "probe_crashed"  # a bug in the probe; the log has the traceback
    # Ticks without a check.
    LATE = "late"  # taken up later than one interval after its tick
    NO_RESULT = "no_result"  # no result arrived within two intervals


class Hop(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One step on the way to the answer (a redirect makes two): where it went, and how long each phase took.

    `phases` are seconds, in the order in which they happened; `facts` are what was seen, such as status or cipher.
    `begun_s` is when it began, in seconds after the first: steps may overlap. `said` is what the peer said first, as
    safe text in lines, at most 1 KiB, without secrets; only the hop that failed has it.
    """

    target: str
    address: str | None = None
    begun_s: float = 0.0
    phases: dict[str, float] = {}
    facts: dict[str, Fact] = {}
    said: str = ""


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one probe found. `samples` are numbers whose names end in their unit, such as `connect_s`."""

    status: Status
    reason: str
    detail: str = ""
    samples: dict[str, float] = {}
    hops: list[Hop] = []
