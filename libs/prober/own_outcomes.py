"""Outcomes that the prober itself decides: late, overdue, crashed. Pure functions."""

from datetime import datetime
from zlib import crc32

from msgspec.structs import replace

from libs.model.check import Check, Origin, Result
from libs.model.ids import tick_id
from libs.model.outcome import Hop, Outcome, Reason, Status
from libs.model.spec import Spec

# A probe returns shortly before its timeout. One that is still running this long after it is cancelled.
OVERDUE_S = 1.0

# Ticks fall on whole seconds. Started all at once, the checks of a second would wait for each other, and the wait would
# be measured as part of their duration; their starts are therefore spread over most of the second. In steps, because
# a few dozen checks at once cost all processes involved much less than one at a time.
SPREAD_S = 0.6
SPREAD_STEPS = 12

# An event loop blocked for this long in total may have received the target's response too late.
STALL_S = 0.5


def lateness_s(check: Check, now: datetime) -> float:
    """Returns how long after its tick the check is started; never negative, although clocks differ."""
    return 0.0 if check.tick_at is None else max((now - check.tick_at).total_seconds(), 0.0)


def spread_delay_s(monitor_id: str) -> float:
    """Returns the fixed delay of a monitor after each of its ticks, between 0 and `SPREAD_S`."""
    return crc32(monitor_id.encode()) % SPREAD_STEPS * (SPREAD_S / SPREAD_STEPS)


def start_delay_s(check: Check, now: datetime) -> float:
    """Returns how long to wait for the monitor's delay; at most 0 for a late check, 0 for one that is not a tick."""
    if check.origin is not Origin.TICK or check.tick_at is None:
        return 0.0
    return spread_delay_s(check.monitor_id) - (now - check.tick_at).total_seconds()


def is_too_late(check: Check, now: datetime) -> bool:
    """Tells whether the next tick has superseded this one. Rechecks and manual checks are never too late."""
    return check.origin is Origin.TICK and lateness_s(check, now) >= check.interval_s


def late_outcome(check: Check, now: datetime) -> Outcome:
    return Outcome(
        status=Status.MISSED,
        reason=Reason.LATE,
        detail=f"taken up {lateness_s(check, now):.1f} s after its tick",
    )


def overdue_outcome(timeout_s: float, stalled_s: float) -> Outcome:
    """Returns the outcome of a probe that exceeded its deadline: `unknown`, because the prober is at fault."""
    if stalled_s >= STALL_S:
        return Outcome(
            status=Status.UNKNOWN, reason=Reason.LATE_LOOP, detail=f"the prober stood still for {stalled_s:.1f} s"
        )
    return Outcome(
        status=Status.UNKNOWN, reason=Reason.PROBE_CRASHED, detail=f"the probe outlived its timeout of {timeout_s:g} s"
    )


def crash_outcome(error: BaseException) -> Outcome:
    """Returns the outcome of a bug in a probe. It names the type only: the message may contain secrets."""
    return Outcome(status=Status.UNKNOWN, reason=Reason.PROBE_CRASHED, detail=type(error).__name__)


def without_static_facts(check: Check, spec: Spec, outcome: Outcome) -> Outcome:
    """Drops the spec's static facts from the hops of a scheduled check that is up: they are the same at every tick.

    Returns every other outcome unchanged.
    """
    if outcome.status is not Status.UP or check.origin is not Origin.TICK or not spec.static_facts:
        return outcome
    lasting = spec.static_facts
    for hop in outcome.hops:
        if not lasting.isdisjoint(hop.facts):
            return replace(outcome, hops=[_without_facts(lasting, hop) for hop in outcome.hops])
    return outcome


def to_result(check: Check, outcome: Outcome, started_at: datetime, duration_s: float, prober: str) -> Result:
    """Returns the result: the outcome with the identity and the times of its check."""
    return Result(
        monitor_id=check.monitor_id,
        tenant_id=check.tenant_id,
        location=check.location,
        kind=check.kind,
        revision=check.revision,
        interval_s=check.interval_s,
        origin=check.origin,
        tick_at=check.tick_at or started_at,
        started_at=started_at,
        duration_s=duration_s,
        status=outcome.status,
        reason=outcome.reason,
        detail=outcome.detail,
        samples=outcome.samples,
        hops=outcome.hops,
        prober=prober,
    )


def _without_facts(names: frozenset[str], hop: Hop) -> Hop:
    return replace(hop, facts={name: fact for name, fact in hop.facts.items() if name not in names})


def result_message_id(result: Result) -> str:
    """Returns the id for deduplication. A missed tick has one of its own, so as not to hide a real result."""
    identity = tick_id(result.monitor_id, result.location, result.tick_at)
    return f"{identity}/missed" if result.status is Status.MISSED else identity
