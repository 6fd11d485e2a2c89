"""Monitors: create, read, update and mark as deleted."""

from datetime import datetime

import msgspec

from libs.model.tenancy import Quota
from libs.store.core.driver import Db, Row

# One round trip for both, as most tenants have no quota.
_ADD = """
WITH added AS (
    INSERT INTO monitors (id, tenant_id, kind, name, target, interval_s, timeout_s, locations, enabled, labels, spec,
                          revision, created_at, updated_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
)
SELECT monitors_max, interval_s_min FROM tenants WHERE id = $2
"""
# NO KEY: rows that refer to this monitor can still be added meanwhile.
_GET_FOR_UPDATE = """
SELECT id, tenant_id, kind, name, target, interval_s, timeout_s, locations, enabled, labels, spec,
       revision, created_at, updated_at
FROM monitors WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL FOR NO KEY UPDATE
"""
_REPLACE = """
UPDATE monitors SET name = $3, target = $4, interval_s = $5, timeout_s = $6, locations = $7, enabled = $8, labels = $9,
                    spec = $10, revision = $11, updated_at = $12
WHERE tenant_id = $1 AND id = $2
"""
_REPLACE_SPEC = "UPDATE monitors SET spec = $3 WHERE tenant_id = $1 AND id = $2"
# A scan of the whole table, which an operator asks for once in a while.
_PAGE_SEALED = """
SELECT id, tenant_id, kind, spec FROM monitors
WHERE deleted_at IS NULL AND id > $1 AND position('"sealed"' IN spec::text) > 0 ORDER BY id LIMIT $2
"""
_SOFT_DELETE = (
    "UPDATE monitors SET deleted_at = $3, enabled = false, revision = revision + 1 WHERE tenant_id = $1 AND id = $2"
)
_EXISTS = "SELECT EXISTS (SELECT FROM monitors WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL)"
_GET_LOCATIONS = "SELECT locations FROM monitors WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL"


_ID_MIN = "00000000-0000-0000-0000-000000000000"


class SealedSpecRow(msgspec.Struct, frozen=True, kw_only=True):
    """Whose a spec with something sealed is."""

    id: str
    tenant_id: str
    kind: str
    spec: msgspec.Raw


class MonitorRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of monitors."""

    id: str
    tenant_id: str
    kind: str
    name: str
    target: str
    interval_s: int
    timeout_s: float
    locations: list[str]
    enabled: bool
    labels: dict[str, str]
    spec: msgspec.Raw
    revision: int
    created_at: datetime
    updated_at: datetime


async def add(db: Db, monitor: MonitorRow) -> Quota:
    """Stores a new monitor, and returns what its tenant may have by its own values."""
    values = msgspec.structs.asdict(monitor) | {"labels": msgspec.json.encode(monitor.labels)}
    row = await db.row(_ADD, *values.values())
    return Quota() if row is None else Quota(**row)


async def get_for_update(db: Db, tenant_id: str, monitor_id: str) -> MonitorRow | None:
    """Returns the monitor and keeps others from changing it until the transaction ends."""
    row = await db.row(_GET_FOR_UPDATE, tenant_id, monitor_id)
    return None if row is None else _to_row(row)


async def replace(db: Db, monitor: MonitorRow) -> None:
    """Stores every field that may change."""
    await db.run(
        _REPLACE,
        monitor.tenant_id,
        monitor.id,
        monitor.name,
        monitor.target,
        monitor.interval_s,
        monitor.timeout_s,
        monitor.locations,
        monitor.enabled,
        msgspec.json.encode(monitor.labels),
        monitor.spec,
        monitor.revision,
        monitor.updated_at,
    )


async def page_sealed(db: Db, after: str | None, limit: int) -> list[SealedSpecRow]:
    """Returns the next monitors behind the id `after` whose spec may hold something sealed, of all tenants."""
    return [SealedSpecRow(**row) for row in await db.rows(_PAGE_SEALED, after or _ID_MIN, limit)]


async def replace_spec(db: Db, tenant_id: str, monitor_id: str, spec: msgspec.Raw) -> None:
    """Stores a spec that means the same as the one before."""
    await db.run(_REPLACE_SPEC, tenant_id, monitor_id, spec)


async def soft_delete(db: Db, tenant_id: str, monitor_id: str, now: datetime) -> None:
    """Marks the monitor as deleted: it is no longer returned, and retention removes it later."""
    await db.run(_SOFT_DELETE, tenant_id, monitor_id, now)


async def exists(db: Db, tenant_id: str, monitor_id: str) -> bool:
    return bool(await db.value(_EXISTS, tenant_id, monitor_id))


async def get_locations(db: Db, tenant_id: str, monitor_id: str) -> list[str] | None:
    """Returns where the monitor is watched from, or None when the tenant has no such monitor."""
    found: list[str] | None = await db.value(_GET_LOCATIONS, tenant_id, monitor_id)
    return found


def _to_row(row: Row) -> MonitorRow:
    values = dict(row.items()) | {"labels": msgspec.json.decode(row["labels"], type=dict[str, str])}
    return MonitorRow(**values)
