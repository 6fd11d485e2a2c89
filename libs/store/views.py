"""Monitors as the API shows them, with state and last result: one query for a whole page."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from libs.model.check import Origin
from libs.model.monitor import MonitorView, ResultView
from libs.model.outcome import Hop, Status
from libs.model.state import State, StateStatus
from libs.store.driver import Db, Row

# The page is cut first; only then is each of its monitors joined with its last result, by key.
_SHOWN = """
WITH page AS MATERIALIZED (
    SELECT monitors.*, states.status AS state, states.since_at, states.reason AS state_reason, states.flapping
    FROM monitors JOIN states ON states.monitor_id = monitors.id
    WHERE monitors.tenant_id = $1 AND monitors.deleted_at IS NULL {filters}
    ORDER BY monitors.id DESC LIMIT $2
)
SELECT page.id, name, kind, target, page.interval_s, timeout_s, locations, enabled, labels, spec, page.revision,
       created_at, updated_at, state, since_at, state_reason, flapping, last.tick_at, last.location, last.origin,
       last.status, last.reason, last.detail, last.started_at, last.duration_s, last.revision AS last_revision,
       last.samples, last.hops
FROM page
LEFT JOIN LATERAL (
    SELECT location, last_tick_at FROM folds WHERE monitor_id = page.id AND last_tick_at IS NOT NULL
    ORDER BY last_tick_at DESC, location LIMIT 1
) newest ON true
LEFT JOIN LATERAL (
    SELECT * FROM results
    WHERE monitor_id = page.id AND tick_at = newest.last_tick_at AND location = newest.location
    LIMIT 1
) last ON true
ORDER BY page.id DESC
"""

_samples = msgspec.json.Decoder(dict[str, float])
_hops = msgspec.json.Decoder(list[Hop])
_labels = msgspec.json.Decoder(dict[str, str])


@dataclass(frozen=True)
class Filters:
    """Which monitors of a tenant are wanted; None and nothing mean all. `before` is an id, exclusive."""

    before: str | None = None
    kind: str | None = None
    state: StateStatus | None = None
    name: str | None = None
    labels: dict[str, str] | None = None


async def get(db: Db, tenant_id: str, monitor_id: str) -> MonitorView | None:
    row = await db.row(_SHOWN.replace("{filters}", "AND monitors.id = $3"), tenant_id, 1, monitor_id)
    return None if row is None else _monitor(row)


async def page(db: Db, tenant_id: str, filters: Filters, limit: int) -> list[MonitorView]:
    """Returns at most `limit` monitors, newest first."""
    conditions = _conditions(filters)
    text = "".join(f" AND {condition} ${number}" for number, (condition, _) in enumerate(conditions, start=3))
    rows = await db.rows(_SHOWN.replace("{filters}", text), tenant_id, limit, *(value for _, value in conditions))
    return [_monitor(row) for row in rows]


def _conditions(filters: Filters) -> Sequence[tuple[str, object]]:
    conditions = [
        ("monitors.id <", filters.before),
        ("monitors.kind =", filters.kind),
        ("states.status =", filters.state),
        ("monitors.name ILIKE", None if filters.name is None else _containing(filters.name)),
        ("monitors.labels @>", msgspec.json.encode(filters.labels) if filters.labels else None),
    ]
    return [(condition, value) for condition, value in conditions if value is not None]


def _containing(text: str) -> str:
    """Returns the LIKE pattern of texts that contain this one, whatever is in it."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def _monitor(row: Row) -> MonitorView:
    return MonitorView(
        id=row["id"],
        name=row["name"],
        kind=row["kind"],
        target=row["target"],
        interval_s=row["interval_s"],
        timeout_s=row["timeout_s"],
        locations=row["locations"],
        enabled=row["enabled"],
        labels=_labels.decode(row["labels"]),
        spec=row["spec"],
        revision=row["revision"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        state=State(
            status=StateStatus(row["state"]),
            since_at=row["since_at"],
            reason=row["state_reason"],
            flapping=row["flapping"],
        ),
        last_result=None if row["tick_at"] is None else result(row, revision=row["last_revision"]),
    )


def result(row: Row, *, revision: int) -> ResultView:
    """Returns the stored result in `row`."""
    return ResultView(
        tick_at=row["tick_at"],
        location=row["location"],
        origin=Origin(row["origin"]),
        status=Status(row["status"]),
        reason=row["reason"],
        detail=row["detail"],
        started_at=row["started_at"],
        duration_s=row["duration_s"],
        revision=revision,
        samples=_samples.decode(row["samples"]),
        hops=_hops.decode(row["hops"]),
    )
