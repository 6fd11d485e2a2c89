"""Removal of expired rows: deleted monitors without results, and old idempotency records."""

from datetime import datetime

from libs.store.core.driver import Db

_PAGE_OLD = "SELECT id FROM monitors WHERE deleted_at < $1 LIMIT $2"
_PURGE = (
    "DELETE FROM rollups_hourly WHERE monitor_id = ANY($1::uuid[])",
    "DELETE FROM rollups_daily WHERE monitor_id = ANY($1::uuid[])",
    "DELETE FROM rollups_stale WHERE monitor_id = ANY($1::uuid[])",
    # In the order in which a delete of their asset locks them: they are deleted with the monitors.
    "SELECT FROM asset_parts WHERE monitor_id = ANY($1::uuid[]) ORDER BY monitor_id FOR UPDATE",
    # The schedules, confirmations, states, transitions and incidents go with it.
    """DELETE FROM monitors AS m WHERE id = ANY($1::uuid[])
       AND NOT EXISTS (SELECT FROM schedules AS s WHERE s.monitor_id = m.id)""",
)
_DELETE_OLD_REPLIES = "DELETE FROM idempotency WHERE created_at < $1"


async def purge(db: Db, deleted_before: datetime, limit: int) -> int:
    """Removes monitors that were deleted before; returns how many. One whose schedule is not cancelled yet waits."""
    ids = [row["id"] for row in await db.rows(_PAGE_OLD, deleted_before, limit)]
    removed = 0
    if ids:
        for statement in _PURGE:
            removed = await db.run(statement, ids)
    return removed


async def delete_old_replies(db: Db, before: datetime) -> int:
    return await db.run(_DELETE_OLD_REPLIES, before)
