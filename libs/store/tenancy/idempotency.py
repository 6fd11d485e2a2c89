"""Replies stored by Idempotency-Key, so that a repeated create creates nothing twice."""

from dataclasses import dataclass

import msgspec

from libs.store.core.driver import Db

_CLAIM = """
INSERT INTO idempotency (tenant_id, key, fingerprint, reply) VALUES ($1, $2, $3, 'null')
ON CONFLICT (tenant_id, key) DO NOTHING
"""
_GET = "SELECT fingerprint, reply FROM idempotency WHERE tenant_id = $1 AND key = $2"
_SAVE_REPLY = "UPDATE idempotency SET reply = $3 WHERE tenant_id = $1 AND key = $2"


@dataclass(frozen=True)
class StoredReply:
    """What was answered to the first request with this key."""

    fingerprint: str
    reply: msgspec.Raw


async def claim(db: Db, tenant_id: str, key: str, fingerprint: str) -> StoredReply | None:
    """Takes the key for this transaction, or returns what was kept under it.

    A second request at the same time waits here until the first has committed or failed.
    """
    if await db.run(_CLAIM, tenant_id, key, fingerprint):
        return None
    row = await db.row(_GET, tenant_id, key)
    # None: retention removed it between the two statements; then it is as good as new, without being kept.
    return None if row is None else StoredReply(row["fingerprint"], row["reply"])


async def save_reply(db: Db, tenant_id: str, key: str, reply: bytes) -> None:
    await db.run(_SAVE_REPLY, tenant_id, key, reply)
