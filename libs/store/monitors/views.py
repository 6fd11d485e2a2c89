"""Monitors as the API returns them, with state and last result: one query for a page."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from libs.model.check import Origin
from libs.model.monitor import MonitorView, ResultView
from libs.model.outcome import Hop, Status
from libs.model.state import State, StateStatus
from libs.store.core.driver import Db, Row

# Shows each monitor in `page` (a CTE with its `id`, and what else is to be seen of it), with its last result by key.
# Only those are read: OFFSET 0 keeps the planner from reading whole tables for it.
VIEW_QUERY = """
SELECT page.*, name, kind, target, shown.interval_s, timeout_s, locations, enabled, labels, spec, shown.revision,
       created_at, updated_at, state, since_at, state_reason, flapping, last.tick_at, last.location, last.origin,
       last.status, last.reason, last.detail, last.started_at, last.duration_s, last.revision AS last_revision,
       last.samples, last.hops
FROM page
CROSS JOIN LATERAL (
    SELECT monitors.*, states.status AS state, since_at, states.reason AS state_reason, flapping
    FROM monitors JOIN states ON states.monitor_id = monitors.id
    WHERE monitors.id = page.id AND states.monitor_id = page.id OFFSET 0
) shown
LEFT JOIN LATERAL (
    SELECT location, last_tick_at FROM confirmations WHERE monitor_id = page.id AND last_tick_at IS NOT NULL
    ORDER BY last_tick_at DESC, location LIMIT 1
) newest ON true
LEFT JOIN LATERAL (
    SELECT * FROM results
    WHERE monitor_id = page.id AND tick_at = newest.last_tick_at AND location = newest.location
    LIMIT 1
) last ON true
"""
# The page is cut first, from indexes alone.
_PAGE = """
WITH page AS MATERIALIZED (
    SELECT id FROM monitors WHERE tenant_id = $1 AND deleted_at IS NULL {filters} ORDER BY id DESC LIMIT $2
) {shown} ORDER BY page.id DESC
""".replace("{shown}", VIEW_QUERY)

# A plan that fits every filter fits none: what is rare must be found by its index, what is common in passing.
_FORCE_CUSTOM_PLAN = "SELECT set_config('plan_cache_mode', 'force_custom_plan', true)"

_samples_decoder = msgspec.json.Decoder(dict[str, float])
_hops_decoder = msgspec.json.Decoder(list[Hop])
_labels_decoder = msgspec.json.Decoder(dict[str, str])


@dataclass(frozen=True)
class MonitorFilters:
    """Which monitors of a tenant are wanted; None and nothing mean all. `before` is an id, exclusive."""

    before: str | None = None
    kind: str | None = None
    state: StateStatus | None = None
    name: str | None = None
    labels: dict[str, str] | None = None


async def get(db: Db, tenant_id: str, monitor_id: str) -> MonitorView | None:
    row = await db.row(_PAGE.replace("{filters}", "AND id = $3"), tenant_id, 1, monitor_id)
    return None if row is None else to_monitor_view(row)


async def page(db: Db, tenant_id: str, filters: MonitorFilters, limit: int) -> list[MonitorView]:
    """Returns at most `limit` monitors, newest first."""
    conditions = _conditions(filters)
    text = " ".join(f"AND {sql.replace('?', f'${number}')}" for number, (sql, _) in enumerate(conditions, start=3))
    async with db.transaction():
        if conditions:
            await db.value(_FORCE_CUSTOM_PLAN)
        rows = await db.rows(_PAGE.replace("{filters}", text), tenant_id, limit, *(value for _, value in conditions))
    return [to_monitor_view(row) for row in rows]


def _conditions(filters: MonitorFilters) -> Sequence[tuple[str, object]]:
    """Returns the wanted conditions as SQL with a ? for the value."""
    conditions = [
        ("id < ?", filters.before),
        ("kind = ?", filters.kind),
        ("id IN (SELECT monitor_id FROM states WHERE status = ?)", filters.state),
        # Unicode letters, whatever the locale of the database.
        ("lower(name COLLATE pg_c_utf8) LIKE lower(? COLLATE pg_c_utf8)", filters.name and _like_pattern(filters.name)),
        ("labels @> ?", msgspec.json.encode(filters.labels) if filters.labels else None),
    ]
    return [(condition, value) for condition, value in conditions if value is not None]


def _like_pattern(text: str) -> str:
    """Returns the LIKE pattern of texts that contain this one, whatever is in it."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


def to_monitor_view(row: Row) -> MonitorView:
    """Returns the monitor in a row of SHOWN."""
    return MonitorView(
        id=row["id"],
        name=row["name"],
        kind=row["kind"],
        target=row["target"],
        interval_s=row["interval_s"],
        timeout_s=row["timeout_s"],
        locations=row["locations"],
        enabled=row["enabled"],
        labels=_labels_decoder.decode(row["labels"]),
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
        last_result=None if row["tick_at"] is None else to_result_view(row, revision=row["last_revision"]),
    )


def to_result_view(row: Row, *, revision: int) -> ResultView:
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
        samples=_samples_decoder.decode(row["samples"]),
        hops=_hops_decoder.decode(row["hops"]),
    )
