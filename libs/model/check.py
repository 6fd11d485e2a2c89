"""Check (one execution asked for) and result (its outcome with monitor, location and times)."""

from datetime import datetime
from enum import StrEnum

import msgspec

from libs.model.outcome import Hop, Status


class Origin(StrEnum):
    """Why a check was asked for. Only `tick` stands for time: the others are extra looks between two ticks."""

    TICK = "tick"
    RECHECK = "recheck"  # a fast second look after a first failure
    MANUAL = "manual"  # a person asked for a monitor to be checked now
    ADHOC = "adhoc"  # a spec without a monitor: answered, never stored


class Check(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One check as it lies on `due.<shard>.<location>.<kind>.<monitor>`.

    A scheduled check is a verbatim copy of its schedule's body, so it cannot carry its own instant:
    `tick_at` is None on the wire and comes from the message's headers (libs.bus.checks).
    `spec` stays encoded (JSON) until the prober of its kind decodes it.
    """

    monitor_id: str
    tenant_id: str
    location: str
    kind: str
    revision: int
    interval_s: int
    timeout_s: float
    spec: msgspec.Raw
    origin: Origin = Origin.TICK
    tick_at: datetime | None = None
    reply_to: str | None = None


class Result(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The outcome of one check, with its identity (`monitor_id`, `location`, `tick_at`) and its times.

    `tick_at` is the scheduled instant, `started_at` when the probe began, both aware UTC; `duration_s` is the probe
    alone, on the monotonic clock. `interval_s` is the time that a `tick` stands for.
    """

    monitor_id: str
    tenant_id: str
    location: str
    kind: str
    revision: int
    interval_s: int
    origin: Origin
    tick_at: datetime
    started_at: datetime
    duration_s: float
    status: Status
    reason: str
    detail: str = ""
    samples: dict[str, float] = {}
    hops: list[Hop] = []
    prober: str = ""
