"""Audit log: which actor changed which object of a tenant."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from libs.model.tenancy import Actor, AuditAction, AuditEntry
from libs.store.core.driver import Db

_ADD = """
INSERT INTO audit (tenant_id, at, action, object_id, object_name, changed, key_id, key_name, address, via)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""
_PAGE = """
SELECT id, at, action, object_id, object_name, changed, key_id, key_name, address, via
FROM audit WHERE tenant_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3
"""
_DELETE_OLD = "DELETE FROM audit WHERE id = ANY(ARRAY(SELECT id FROM audit WHERE at < $1 LIMIT $2))"

ID_MAX = 2**63 - 1


class AuditEntryDraft(msgspec.Struct, frozen=True, kw_only=True):
    """What was done to which thing. `changed` names fields, never their values."""

    action: AuditAction
    object_id: str
    object_name: str = ""
    changed: Sequence[str] = ()


async def add(db: Db, tenant_id: str, actor: Actor, deed: AuditEntryDraft, now: datetime) -> None:
    """Writes down a deed, in the transaction that does it."""
    who = (actor.key_id, actor.key_name, actor.address, actor.via)
    await db.run(_ADD, tenant_id, now, deed.action, deed.object_id, deed.object_name, list(deed.changed), *who)


async def page(db: Db, tenant_id: str, before: int, limit: int) -> list[AuditEntry]:
    """Returns at most `limit` entries of a tenant, newest first, from behind the id `before`."""
    rows = await db.rows(_PAGE, tenant_id, before, limit)
    return [AuditEntry(**dict(row.items()) | {"action": AuditAction(row["action"])}) for row in rows]


async def delete_old(db: Db, before: datetime, limit: int) -> int:
    """Removes at most `limit` entries of all tenants that are older; returns how many."""
    return await db.run(_DELETE_OLD, before, limit)
