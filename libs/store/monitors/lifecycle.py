"""Schedules, confirmations and state of a monitor that is created, changed or deleted."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from libs.model.state import State, StateStatus
from libs.store.core.driver import Db

_ADD_STATE = "INSERT INTO states (monitor_id, status, since_at, reason) VALUES ($1, 'pending', $2, $3)"
_GET_STATE = "SELECT status, since_at, reason, flapping FROM states WHERE monitor_id = $1 FOR UPDATE"
_SET_PENDING = """
UPDATE states SET status = 'pending', since_at = $2, reason = $3, flapping = false, incident_id = NULL
WHERE monitor_id = $1
"""
_ADD_CONFIRMATIONS = """
INSERT INTO confirmations (monitor_id, location, status, since_at, reason, down_run, bad_run, up_run, changes, flapping,
                   last_class)
SELECT $1, location, 'pending', $3, '', 0, 0, 0, 0, false, '' FROM unnest($2::text[]) AS location
ON CONFLICT (monitor_id, location) DO NOTHING
"""
_DELETE_CONFIRMATIONS = "DELETE FROM confirmations WHERE monitor_id = $1 AND location <> ALL($2::text[])"
_RESET_RUNS = "UPDATE confirmations SET down_run = 0, bad_run = 0, up_run = 0 WHERE monitor_id = $1"
_RESET_CONFIRMATIONS = """
UPDATE confirmations SET status = 'pending', since_at = $2, reason = $3, down_run = 0, bad_run = 0, up_run = 0, changes = 0,
                 flapping = false, last_class = ''
WHERE monitor_id = $1
"""
_GET_SCHEDULES = """
SELECT location, active, interval_s, phase_s, shard FROM schedules WHERE monitor_id = $1 ORDER BY location FOR UPDATE
"""
_UPSERT_SCHEDULES = """
INSERT INTO schedules (monitor_id, location, active, shard, interval_s, phase_s, since_at)
SELECT $1, location, true, $2, $3, phase_s, $4 FROM unnest($5::text[], $6::integer[]) AS new (location, phase_s)
ON CONFLICT (monitor_id, location) DO UPDATE
SET active = true, shard = excluded.shard, interval_s = excluded.interval_s, phase_s = excluded.phase_s,
    since_at = excluded.since_at, version = schedules.version + 1
"""
_RAISE_VERSIONS = "UPDATE schedules SET version = version + 1 WHERE monitor_id = $1 AND location = ANY($2::text[])"
_DEACTIVATE = """
UPDATE schedules SET active = false, version = version + 1
WHERE monitor_id = $1 AND active AND location = ANY($2::text[])
"""
# The old grid up to now: what it still owes becomes a result or a recorded `missed`.
_ADD_GAPS = """
INSERT INTO gaps (monitor_id, location, revision, interval_s, phase_s, after_at, until_at)
SELECT monitor_id, location, $3, interval_s, phase_s, greatest(schedules.since_at, ticked_at), $4
FROM schedules LEFT JOIN confirmations USING (monitor_id, location)
WHERE monitor_id = $1 AND active AND location = ANY($2::text[]) AND greatest(schedules.since_at, ticked_at) < $4
"""


class TickSchedule(msgspec.Struct, frozen=True):
    """Where and how often a monitor ticks, or ticked until its schedule was ended."""

    location: str
    active: bool
    interval_s: int
    phase_s: int
    shard: int


async def add_state(db: Db, monitor_id: str, locations: Sequence[str], now: datetime, reason: str) -> None:
    """Gives a new monitor its state and its confirmations."""
    await db.run(_ADD_CONFIRMATIONS, monitor_id, locations, now)
    await db.run(_ADD_STATE, monitor_id, now, reason)


async def get_schedules_for_update(db: Db, monitor_id: str) -> list[TickSchedule]:
    """Returns the schedules of a monitor and keeps others from changing them until the transaction ends."""
    return [TickSchedule(*row.values()) for row in await db.rows(_GET_SCHEDULES, monitor_id)]


async def upsert_schedules(db: Db, monitor_id: str, new: Sequence[TickSchedule], now: datetime) -> None:
    """Starts ticking, or ticking otherwise, from now on. All of `new` share interval and shard."""
    if new:
        places, phases = [each.location for each in new], [each.phase_s for each in new]
        await db.run(_UPSERT_SCHEDULES, monitor_id, new[0].shard, new[0].interval_s, now, places, phases)


async def raise_schedule_versions(db: Db, monitor_id: str, locations: Sequence[str]) -> None:
    """Lets the same ticks carry the monitor's new revision."""
    if locations:
        await db.run(_RAISE_VERSIONS, monitor_id, locations)


async def deactivate_schedules(db: Db, monitor_id: str, locations: Sequence[str]) -> None:
    if locations:
        await db.run(_DEACTIVATE, monitor_id, locations)


async def add_gaps(db: Db, monitor_id: str, locations: Sequence[str], revision: int, now: datetime) -> None:
    """Notes that the ticks of the present schedules are owed up to now. Call it before they change."""
    if locations:
        await db.run(_ADD_GAPS, monitor_id, locations, revision, now)


async def match_confirmations(db: Db, monitor_id: str, locations: Sequence[str], now: datetime) -> None:
    """Leaves exactly one fold for each location; new ones begin as pending."""
    await db.run(_DELETE_CONFIRMATIONS, monitor_id, locations)
    await db.run(_ADD_CONFIRMATIONS, monitor_id, locations, now)


async def reset_runs(db: Db, monitor_id: str) -> None:
    """Forgets the runs of like results; what is confirmed stays."""
    await db.run(_RESET_RUNS, monitor_id)


async def set_pending(db: Db, monitor_id: str, now: datetime, reason: str) -> None:
    """Forgets what was confirmed."""
    await db.run(_RESET_CONFIRMATIONS, monitor_id, now, reason)
    await db.run(_SET_PENDING, monitor_id, now, reason)


async def get_state_for_update(db: Db, monitor_id: str) -> State:
    """Returns the state and keeps others from changing it until the transaction ends."""
    row = await db.row(_GET_STATE, monitor_id)
    if row is None:
        raise LookupError(f"monitor {monitor_id} has no state")
    return State(
        status=StateStatus(row["status"]), since_at=row["since_at"], reason=row["reason"], flapping=row["flapping"]
    )
