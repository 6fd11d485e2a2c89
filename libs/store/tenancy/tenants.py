"""Tenants and their quotas."""

import msgspec

from libs.model.tenancy import Quota, Rate, Tenant
from libs.store.core.driver import Db, Row
from libs.store.tenancy import rate_columns

_ANY_EXIST = "SELECT EXISTS (SELECT FROM tenants)"
_ADD = """
INSERT INTO tenants (id, name, requests_per_s, requests_burst, monitors_max, interval_s_min)
VALUES ($1, $2, $3, $4, $5, $6)
"""
_SELECT = """
SELECT id, number, name, created_at, requests_per_s, requests_burst, monitors_max, interval_s_min,
       (SELECT count(*) FROM monitors WHERE tenant_id = tenants.id AND deleted_at IS NULL) AS monitors
FROM tenants
"""
_GET = f"{_SELECT} WHERE id = $1"
_GET_BY_NAME = f"{_SELECT} WHERE name = $1"
_PAGE = f"{_SELECT} WHERE number > $1 ORDER BY number LIMIT $2"
# NO KEY: rows that refer to this tenant can still be added meanwhile.
_GET_FOR_UPDATE = f"{_SELECT} WHERE id = $1 FOR NO KEY UPDATE"
_REPLACE = """
UPDATE tenants SET name = $2, requests_per_s = $3, requests_burst = $4, monitors_max = $5, interval_s_min = $6
WHERE id = $1
"""
_GET_QUOTA = "SELECT monitors_max, interval_s_min FROM tenants WHERE id = $1"
_GET_QUOTA_FOR_UPDATE = f"{_GET_QUOTA} FOR NO KEY UPDATE"
_COUNT_MONITORS = "SELECT count(*) FROM monitors WHERE tenant_id = $1 AND deleted_at IS NULL"


async def any_exist(db: Db) -> bool:
    return bool(await db.value(_ANY_EXIST))


async def add(db: Db, tenant_id: str, name: str, rate: Rate | None = None, quota: Quota | None = None) -> None:
    await db.run(_ADD, tenant_id, name, *rate_columns.to_columns(rate), *msgspec.structs.astuple(quota or Quota()))


async def get(db: Db, tenant_id: str) -> Tenant | None:
    return _to_tenant_or_none(await db.row(_GET, tenant_id))


async def get_by_name(db: Db, name: str) -> Tenant | None:
    return _to_tenant_or_none(await db.row(_GET_BY_NAME, name))


async def page(db: Db, after: int, limit: int) -> list[Tenant]:
    """Returns at most `limit` tenants behind the number `after`, oldest first."""
    return [_to_tenant(row) for row in await db.rows(_PAGE, after, limit)]


async def get_for_update(db: Db, tenant_id: str) -> Tenant | None:
    """Returns the tenant and keeps others from changing it until the transaction ends."""
    return _to_tenant_or_none(await db.row(_GET_FOR_UPDATE, tenant_id))


async def replace(db: Db, tenant: Tenant) -> None:
    """Stores every field that may change."""
    own = rate_columns.to_columns(tenant.rate)
    await db.run(_REPLACE, tenant.id, tenant.name, *own, tenant.monitors_max, tenant.interval_s_min)


async def get_quota(db: Db, tenant_id: str) -> Quota:
    """Returns what the tenant may have by its own values."""
    return _to_quota(await db.row(_GET_QUOTA, tenant_id))


async def get_quota_for_update(db: Db, tenant_id: str) -> Quota:
    """Returns the same, and lets no two transactions that ask this pass at once."""
    return _to_quota(await db.row(_GET_QUOTA_FOR_UPDATE, tenant_id))


async def count_monitors(db: Db, tenant_id: str) -> int:
    """Returns how many monitors the tenant has.

    After `get_quota_for_update` it is a statement of its own on purpose: one that waits for a lock counts what was there
    before it waited.
    """
    return int(await db.value(_COUNT_MONITORS, tenant_id))


def _to_quota(row: Row | None) -> Quota:
    return Quota() if row is None else Quota(**row)


def _to_tenant_or_none(row: Row | None) -> Tenant | None:
    return None if row is None else _to_tenant(row)


def _to_tenant(row: Row) -> Tenant:
    return Tenant(
        id=row["id"],
        number=row["number"],
        name=row["name"],
        created_at=row["created_at"],
        monitors=row["monitors"],
        rate=rate_columns.from_columns(row["requests_per_s"], row["requests_burst"]),
        monitors_max=row["monitors_max"],
        interval_s_min=row["interval_s_min"],
    )
