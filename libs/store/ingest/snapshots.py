"""State of monitors as a batch of results needs it: tenant, revision, schedules and confirmations."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from libs.model.confirmation import Confirmation
from libs.model.state import Event, EventType, StateStatus, Transition
from libs.store.core.driver import Db, Row

# Ids as text: turning it into a str is the driver's own fast path, and this runs for every result.
_LOAD = """
SELECT m.id::text AS id, m.tenant_id::text AS tenant_id, m.revision, m.locations, m.enabled,
       t.status AS state, t.flapping AS state_flapping, s.interval_s, s.phase_s, s.since_at AS grid_since_at,
       f.location, f.status, f.since_at, f.reason, f.down_run, f.bad_run, f.up_run, f.changes, f.flapping, f.last_class,
       f.folded_at, f.ticked_at, f.last_tick_at
FROM unnest($1::uuid[]) AS n (id)
JOIN monitors AS m ON m.id = n.id AND m.deleted_at IS NULL
JOIN states AS t ON t.monitor_id = m.id
LEFT JOIN confirmations AS f ON f.monitor_id = m.id
LEFT JOIN schedules AS s ON s.monitor_id = m.id AND s.location = f.location AND s.active
"""
_LOAD_SUMMARIES = """
SELECT m.id, m.tenant_id, m.name, m.kind, m.target, t.since_at, t.incident_id
FROM monitors AS m JOIN states AS t ON t.monitor_id = m.id WHERE m.id = ANY($1::uuid[])
"""

_STATUSES = {status.value: status for status in StateStatus}


class TickGrid(msgspec.Struct, frozen=True):
    """The ticks of one active schedule: those later than `since_at`."""

    interval_s: int
    phase_s: int
    since_at: datetime


class MonitorSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One monitor that is not deleted."""

    id: str
    tenant_id: str
    revision: int
    locations: list[str]
    enabled: bool
    status: StateStatus
    flapping: bool
    grids: dict[str, TickGrid]
    confirmations: dict[str, Confirmation]


class MonitorSummary(msgspec.Struct, frozen=True, kw_only=True):
    """How a monitor is introduced in an event, and the incident that is open."""

    id: str
    tenant_id: str
    name: str
    kind: str
    target: str
    since_at: datetime
    incident_id: str | None

    def to_event(self, identity: str, event_type: EventType, transition: Transition) -> Event:
        return Event(
            id=identity,
            type=event_type,
            tenant_id=self.tenant_id,
            monitor_id=self.id,
            monitor_name=self.name,
            kind=self.kind,
            target=self.target,
            transition=transition,
        )


async def load(db: Db, monitor_ids: Sequence[str]) -> dict[str, MonitorSnapshot]:
    """Returns those of the monitors that exist. Hold Lock.FOLDING, so that nothing of it changes meanwhile."""
    found: dict[str, MonitorSnapshot] = {}
    for row in await db.rows(_LOAD, monitor_ids):
        watched = found.get(row["id"])
        if watched is None:
            watched = found[row["id"]] = _to_snapshot(row)
        location = row["location"]
        if location is not None:
            watched.confirmations[location] = _to_confirmation(row)
        if row["interval_s"] is not None:
            watched.grids[location] = TickGrid(row["interval_s"], row["phase_s"], row["grid_since_at"])
    return found


async def load_summaries(db: Db, monitor_ids: Sequence[str]) -> dict[str, MonitorSummary]:
    rows = await db.rows(_LOAD_SUMMARIES, monitor_ids)
    return {row["id"]: MonitorSummary(**row) for row in rows}


def _to_snapshot(row: Row) -> MonitorSnapshot:
    return MonitorSnapshot(
        id=row["id"],
        tenant_id=row["tenant_id"],
        revision=row["revision"],
        locations=row["locations"],
        enabled=row["enabled"],
        status=_STATUSES[row["state"]],
        flapping=row["state_flapping"],
        grids={},
        confirmations={},
    )


def _to_confirmation(row: Row) -> Confirmation:
    return Confirmation(
        status=_STATUSES[row["status"]],
        since_at=row["since_at"],
        reason=row["reason"],
        down_run=row["down_run"],
        bad_run=row["bad_run"],
        up_run=row["up_run"],
        changes=row["changes"],
        flapping=row["flapping"],
        last_class=row["last_class"],
        folded_at=row["folded_at"],
        ticked_at=row["ticked_at"],
        last_tick_at=row["last_tick_at"],
    )
