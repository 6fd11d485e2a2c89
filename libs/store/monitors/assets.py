"""Assets: numbered objects that a client of a compatible API created, and the monitors that implement them."""

from collections.abc import Mapping
from datetime import datetime

import msgspec

from libs.model.asset import Asset
from libs.store.core.driver import Db, Row
from libs.store.monitors import views

NUMBER_MAX = 2**63 - 1

# The row stays locked until the transaction ends: numbers are given one after the other.
_NEXT_NUMBER = """
INSERT INTO asset_numbers AS n (tenant_id, dialect, type, last) VALUES ($1, $2, $3, 1)
ON CONFLICT (tenant_id, dialect, type) DO UPDATE SET last = n.last + 1
RETURNING last
"""
_ADD = """
INSERT INTO assets (id, tenant_id, dialect, type, number, identity, fields, created_at, updated_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)
ON CONFLICT (tenant_id, dialect, type, identity) DO NOTHING
"""
_ADD_PART = "INSERT INTO asset_parts (asset_id, part, monitor_id) VALUES ($1, $2, $3)"
# Right after many were created the planner takes all tables for empty. Joined freely, each asset would then look through
# all monitors; OFFSET 0 and the CTEs have everything found by its key, and once.
_PAGE = """
WITH wanted AS MATERIALIZED (
    SELECT id AS asset_id, number, fields, created_at AS asset_created_at, updated_at AS asset_updated_at
    FROM assets WHERE tenant_id = $1 AND dialect = $2 AND type = $3 AND number > $4 ORDER BY number LIMIT $5
), page AS MATERIALIZED (
    SELECT own.asset_id AS of_id, part, live.id
    FROM wanted
    CROSS JOIN LATERAL (SELECT * FROM asset_parts WHERE asset_id = wanted.asset_id OFFSET 0) own
    CROSS JOIN LATERAL (
        SELECT id FROM monitors WHERE id = own.monitor_id AND tenant_id = $1 AND deleted_at IS NULL OFFSET 0
    ) live
), parts AS MATERIALIZED ({shown})
SELECT * FROM wanted LEFT JOIN parts ON parts.of_id = wanted.asset_id ORDER BY number, part
""".replace("{shown}", views.VIEW_QUERY)
_GET_FOR_UPDATE = """
SELECT id, identity FROM assets WHERE tenant_id = $1 AND dialect = $2 AND type = $3 AND number = $4 FOR UPDATE
"""
# Locked in the order in which retention locks them, too.
_GET_MONITOR_IDS = "SELECT monitor_id FROM asset_parts WHERE asset_id = $1 ORDER BY monitor_id FOR UPDATE"
_DELETE = "DELETE FROM assets WHERE tenant_id = $1 AND id = $2"


class AssetType(msgspec.Struct, frozen=True, kw_only=True):
    """Assets that are numbered together: those of a tenant in a dialect, of one type."""

    tenant_id: str
    dialect: str
    type: str

    @property
    def name(self) -> str:
        """Returns what also labels the monitors of such assets."""
        return f"{self.dialect}/{self.type}"


class AssetRow(msgspec.Struct, frozen=True, kw_only=True):
    """Keys of a stored asset: each of the three is unique within its type."""

    id: str
    number: int
    identity: str


async def next_number(db: Db, asset_type: AssetType) -> int:
    """Gives a number that was never given. Others who want one wait until the transaction ends."""
    number: int = await db.value(_NEXT_NUMBER, *_type_columns(asset_type))
    return number


async def add(db: Db, asset_type: AssetType, asset: AssetRow, fields: msgspec.Raw, now: datetime) -> bool:
    """Stores an asset without parts; returns False if there is one of this identity."""
    return await db.run(_ADD, asset.id, *_type_columns(asset_type), asset.number, asset.identity, fields, now) == 1


async def add_parts(db: Db, asset_id: str, monitor_ids: Mapping[str, str]) -> None:
    """Makes monitors the parts of an asset; `monitor_ids` is by the names of the parts."""
    await db.run_many(_ADD_PART, [(asset_id, part, monitor_id) for part, monitor_id in monitor_ids.items()])


async def page(db: Db, asset_type: AssetType, after: int, limit: int) -> list[Asset]:
    """Returns at most `limit` assets with numbers above `after`, with the views of their parts, in one query."""
    found: dict[int, Asset] = {}
    for row in await db.rows(_PAGE, *_type_columns(asset_type), max(0, min(after, NUMBER_MAX)), limit):
        asset = found.setdefault(row["number"], _to_asset(row))
        if row["part"] is not None:
            asset.parts[row["part"]] = views.to_monitor_view(row)
    return list(found.values())


async def get_for_update(db: Db, asset_type: AssetType, number: int) -> AssetRow | None:
    """Returns the asset and keeps others from deleting it until the transaction ends."""
    if not 0 < number <= NUMBER_MAX:
        return None
    row = await db.row(_GET_FOR_UPDATE, *_type_columns(asset_type), number)
    return None if row is None else AssetRow(id=row["id"], number=number, identity=row["identity"])


async def get_monitor_ids_for_update(db: Db, asset_id: str) -> list[str]:
    """Returns the monitors that the asset was given, also deleted ones, and keeps them until the transaction ends."""
    return [row["monitor_id"] for row in await db.rows(_GET_MONITOR_IDS, asset_id)]


async def delete(db: Db, tenant_id: str, asset_id: str) -> None:
    """Removes the asset; its identity may be used again, its number not. Its monitors stay."""
    await db.run(_DELETE, tenant_id, asset_id)


def _type_columns(asset_type: AssetType) -> tuple[str, str, str]:
    return asset_type.tenant_id, asset_type.dialect, asset_type.type


def _to_asset(row: Row) -> Asset:
    return Asset(
        number=row["number"],
        fields=row["fields"],
        created_at=row["asset_created_at"],
        updated_at=row["asset_updated_at"],
        parts={},
    )
