"""Changes of state: the state row, the transition, and the incident that opens or closes."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from libs.model.state import StateStatus, Transition
from libs.store.core.driver import Db

_SET_STATES = """
UPDATE states AS t SET status = n.status, since_at = n.since_at, reason = n.reason, incident_id = n.incident_id
FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::text[], $5::uuid[])
     AS n (monitor_id, status, since_at, reason, incident_id)
WHERE t.monitor_id = n.monitor_id
"""
_SET_FLAPPING = """
UPDATE states AS t SET flapping = n.flapping FROM unnest($1::uuid[], $2::bool[]) AS n (monitor_id, flapping)
WHERE t.monitor_id = n.monitor_id
"""
_ADD_TRANSITIONS = """
INSERT INTO transitions (id, monitor_id, at, old, new, reason, incident_id)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::uuid[])
"""
_OPEN_INCIDENTS = """
INSERT INTO incidents (id, monitor_id, opened_at, closed_at, reason, close_reason)
SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::timestamptz[], $5::text[], $6::text[])
"""
_CLOSE_INCIDENTS = """
UPDATE incidents AS i SET closed_at = n.closed_at, close_reason = n.close_reason
FROM unnest($1::uuid[], $2::timestamptz[], $3::text[]) AS n (id, closed_at, close_reason)
WHERE i.id = n.id AND i.closed_at IS NULL
"""


class StateRow(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one monitor after a batch."""

    monitor_id: str
    status: StateStatus
    since_at: datetime
    reason: str
    incident_id: str | None


class Incident(msgspec.Struct, kw_only=True):
    """One incident; one that ended in the same batch is born closed."""

    id: str
    monitor_id: str
    opened_at: datetime
    reason: str
    closed_at: datetime | None = None
    close_reason: str | None = None


async def set_states(db: Db, states: Sequence[StateRow]) -> None:
    if states:
        await db.run(_SET_STATES, *_columns(states, "monitor_id", "status", "since_at", "reason", "incident_id"))


async def set_flapping(db: Db, flapping: Sequence[tuple[str, bool]]) -> None:
    if flapping:
        await db.run(_SET_FLAPPING, [each[0] for each in flapping], [each[1] for each in flapping])


async def add_transitions(db: Db, transitions: Sequence[Transition]) -> None:
    if transitions:
        await db.run(
            _ADD_TRANSITIONS, *_columns(transitions, "id", "monitor_id", "at", "old", "new", "reason", "incident_id")
        )


async def close_incidents(db: Db, incidents: Sequence[Incident]) -> None:
    """Closes stored incidents: before new ones open, as a monitor has at most one that is open."""
    if incidents:
        await db.run(_CLOSE_INCIDENTS, *_columns(incidents, "id", "closed_at", "close_reason"))


async def open_incidents(db: Db, incidents: Sequence[Incident]) -> None:
    if incidents:
        await db.run(
            _OPEN_INCIDENTS,
            *_columns(incidents, "id", "monitor_id", "opened_at", "closed_at", "reason", "close_reason"),
        )


def _columns(rows: Sequence[msgspec.Struct], *names: str) -> tuple[list[object], ...]:
    return tuple([getattr(row, name) for row in rows] for name in names)
