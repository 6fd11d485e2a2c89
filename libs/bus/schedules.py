"""Schedule messages: nats-server itself publishes the checks when they are due (NATS ADR-51)."""

from datetime import datetime

import msgspec

from libs.bus import subjects
from libs.bus.client.message import Message
from libs.model.check import Check, Origin
from libs.model.ids import derived_id, tick_id
from libs.model.interval import DAY_S, HOUR_S, MINUTE_S

SCHEDULE_HEADER = "Nats-Schedule"
SCHEDULE_TARGET_HEADER = "Nats-Schedule-Target"
SCHEDULE_TTL_HEADER = "Nats-Schedule-TTL"
TTL_HEADER = "Nats-TTL"
ROLLUP_HEADER = "Nats-Rollup"

RECHECK_TTL_S = 60
IMMEDIATE_CHECK_TTL_S = 60

_encode = msgspec.json.Encoder().encode


def cron(interval_s: int, phase_s: int) -> str:
    """Returns the 6-field cron line (seconds first) of an interval and a phase, both in seconds.

    It is due whenever the UTC epoch second equals the phase, modulo the interval.
    """
    hour, minute, second = phase_s // HOUR_S, phase_s // MINUTE_S % 60, phase_s % MINUTE_S
    if interval_s < MINUTE_S:
        return f"{','.join(str(at) for at in range(phase_s % interval_s, MINUTE_S, interval_s))} * * * * *"
    if interval_s < HOUR_S:
        return f"{second} {_cron_range(minute, interval_s // MINUTE_S, 60)} * * * *"
    if interval_s < DAY_S:
        return f"{second} {minute} {_cron_range(hour, interval_s // HOUR_S, 24)} * * *"
    return f"{second} {minute} {hour} * * *"


def schedule(check: Check, shard: int, phase_s: int) -> Message:
    """Returns the schedule of one monitor at one location; publishing it replaces the previous one."""
    due = subjects.due(shard, check.location, check.kind, check.monitor_id)
    headers = {
        SCHEDULE_HEADER: cron(check.interval_s, phase_s),
        SCHEDULE_TARGET_HEADER: due,
        SCHEDULE_TTL_HEADER: f"{check.interval_s}s",
    }
    body = _encode(msgspec.structs.replace(check, origin=Origin.TICK, tick_at=None, reply_to=None))
    return Message(subjects.schedule(shard, check.location, check.monitor_id), body, headers=headers)


def cancel(shard: int, location: str, monitor_id: str) -> Message:
    """Returns the message that ends a schedule: a plain message on its subject, which expires after a second."""
    return Message(
        subjects.schedule(shard, location, monitor_id), b"", headers={ROLLUP_HEADER: "sub", TTL_HEADER: "1s"}
    )


def recheck(check: Check, shard: int, at: datetime) -> Message:
    """Returns the schedule of one recheck at `at`. Publishing it twice still makes one check."""
    once = msgspec.structs.replace(check, origin=Origin.RECHECK, tick_at=at, reply_to=None)
    headers = {
        SCHEDULE_HEADER: f"@at {at.isoformat().replace('+00:00', 'Z')}",
        SCHEDULE_TARGET_HEADER: subjects.recheck_due(shard, check.location, check.kind, check.monitor_id),
        SCHEDULE_TTL_HEADER: f"{RECHECK_TTL_S}s",
    }
    subject = subjects.recheck_schedule(shard, check.location, check.monitor_id)
    return Message(subject, _encode(once), f"recheck/{_check_id(once)}", headers)


def immediate_check(check: Check, shard: int) -> Message:
    """Returns a check to run at once, which expires if no prober takes it within a minute.

    It has a subject of its own, so that it neither replaces a tick nor is replaced by one.
    """
    identity = _check_id(check)
    subject = subjects.due(shard, check.location, check.kind, derived_id("due_now", identity))
    return Message(subject, _encode(check), f"due/{identity}", {TTL_HEADER: f"{IMMEDIATE_CHECK_TTL_S}s"})


def _cron_range(first: int, step: int, size: int) -> str:
    if step == 1:
        return "*"
    return f"{first % step}-{size - 1}/{step}"


def _check_id(check: Check) -> str:
    if check.tick_at is None:
        raise ValueError("a check that is not scheduled must carry its tick_at")
    return tick_id(check.monitor_id, check.location, check.tick_at)
