"""Results and transitions of one monitor, page by page."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from libs.model.monitor import ResultView
from libs.model.state import StateStatus, Transition
from libs.store.core.driver import Db, Row
from libs.store.monitors import views

# Both bounds of tick_at stand alone, so that only the partitions between them are opened.
_PAGE_RESULTS = """
SELECT tick_at, location, origin, status, reason, detail, started_at, duration_s, revision, samples, hops
FROM results
WHERE monitor_id = (SELECT id FROM monitors WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL)
  AND tick_at >= $3 AND tick_at <= $4 AND (tick_at, location) < ($4, $5)
ORDER BY tick_at DESC, location DESC LIMIT $6
"""
_PAGE_TRANSITIONS = """
SELECT id, monitor_id, at, old, new, reason, incident_id
FROM transitions
WHERE monitor_id = (SELECT id FROM monitors WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL)
  AND at <= $3 AND (at, id) < ($3, $4)
ORDER BY at DESC, id DESC LIMIT $5
"""


class ResultCursor(msgspec.Struct, frozen=True, order=True):
    """Results in order of (`tick_at`, `location`) before this place. With an empty location: before `tick_at`."""

    tick_at: Annotated[datetime, Meta(tz=True)]
    location: str = ""


class TransitionCursor(msgspec.Struct, frozen=True):
    """Transitions in order of (`at`, `id`) before this place."""

    at: Annotated[datetime, Meta(tz=True)]
    id: str


async def page_results(
    db: Db, monitor: tuple[str, str], *, from_at: datetime, before: ResultCursor, limit: int
) -> list[ResultView]:
    """Returns results of `monitor` (tenant, id) that are not older than `from_at`, newest first."""
    rows = await db.rows(_PAGE_RESULTS, *monitor, from_at, before.tick_at, before.location, limit)
    return [views.to_result_view(row, revision=row["revision"]) for row in rows]


async def page_transitions(db: Db, monitor: tuple[str, str], before: TransitionCursor, limit: int) -> list[Transition]:
    """Returns transitions of `monitor` (tenant, id), newest first."""
    return [_to_transition(row) for row in await db.rows(_PAGE_TRANSITIONS, *monitor, before.at, before.id, limit)]


def _to_transition(row: Row) -> Transition:
    return Transition(
        id=row["id"],
        monitor_id=row["monitor_id"],
        at=row["at"],
        old=StateStatus(row["old"]),
        new=StateStatus(row["new"]),
        reason=row["reason"],
        incident_id=row["incident_id"],
    )
