"""API keys. Of a secret only the SHA-256 digest is stored."""

from datetime import datetime

import msgspec

from libs.model.tenancy import Key, Principal, Quota, Scope
from libs.store.core.driver import Db, Row
from libs.store.tenancy import rate_columns

_ADD = """
INSERT INTO keys (id, tenant_id, name, sha256, scopes, cidrs, created_at, expires_at, requests_per_s, requests_burst)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""
_LIST = """
SELECT id, name, scopes, cidrs, created_at, expires_at, last_used_at, requests_per_s, requests_burst
FROM keys WHERE tenant_id = $1 AND revoked_at IS NULL ORDER BY id
"""
_LIST_FOR_UPDATE = f"{_LIST} FOR UPDATE"
_REVOKE = "UPDATE keys SET revoked_at = $3 WHERE tenant_id = $1 AND id = $2 AND revoked_at IS NULL"
_IS_OPERATOR = """
SELECT EXISTS (
    SELECT FROM keys
    WHERE id = $1 AND 'operator' = ANY(scopes) AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
)
"""
_HAS_OTHER_OPERATOR = """
SELECT EXISTS (
    SELECT FROM keys
    WHERE id <> $1 AND 'operator' = ANY(scopes) AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
)
"""
_GET_TENANT_ID = "SELECT tenant_id FROM keys WHERE id = $1"
_AUTHENTICATE = """
SELECT keys.id, keys.number, keys.name, scopes, cidrs, expires_at, last_used_at, keys.requests_per_s,
       keys.requests_burst, tenant_id, tenants.name AS tenant_name, tenants.number AS tenant_number,
       tenants.requests_per_s AS tenant_per_s, tenants.requests_burst AS tenant_burst, monitors_max, interval_s_min
FROM keys JOIN tenants ON tenants.id = keys.tenant_id
WHERE sha256 = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
"""
_FILTER_VALID = """
SELECT id FROM keys WHERE id = ANY($1::uuid[]) AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
"""
# SKIP LOCKED: no request waits for another one that notes the same thing.
_MARK_USED = """
UPDATE keys SET last_used_at = $2
WHERE id = (SELECT id FROM keys WHERE id = $1 FOR NO KEY UPDATE SKIP LOCKED)
"""


class KeyPrincipal(msgspec.Struct, frozen=True):
    """Who bears a key, and when it was last noted as used."""

    principal: Principal
    last_used_at: datetime | None


async def add(db: Db, tenant_id: str, key: Key, sha256: bytes) -> None:
    which = (key.id, tenant_id, key.name, sha256, list(key.scopes), key.cidrs)
    await db.run(_ADD, *which, key.created_at, key.expires_at, *rate_columns.to_columns(key.rate))


async def list_unrevoked(db: Db, tenant_id: str) -> list[Key]:
    """Returns the tenant's keys, oldest first."""
    return [_to_key(row) for row in await db.rows(_LIST, tenant_id)]


async def list_for_update(db: Db, tenant_id: str) -> list[Key]:
    """Returns the tenant's keys and keeps others from revoking one until the transaction ends."""
    return [_to_key(row) for row in await db.rows(_LIST_FOR_UPDATE, tenant_id)]


async def revoke(db: Db, tenant_id: str, key_id: str, now: datetime) -> None:
    await db.run(_REVOKE, tenant_id, key_id, now)


async def is_operator(db: Db, key_id: str, now: datetime) -> bool:
    """Tells whether the key is valid and has the scope `operator`."""
    return bool(await db.value(_IS_OPERATOR, key_id, now))


async def has_other_operator(db: Db, key_id: str, now: datetime) -> bool:
    """Tells whether another valid key, of any tenant, has the scope `operator`."""
    return bool(await db.value(_HAS_OTHER_OPERATOR, key_id, now))


async def get_tenant_id(db: Db, key_id: str) -> str | None:
    """Returns whose the key is, or was before it was revoked."""
    found: str | None = await db.value(_GET_TENANT_ID, key_id)
    return found


async def authenticate(db: Db, sha256: bytes, now: datetime) -> KeyPrincipal | None:
    """Returns who bears the key with this digest, unless it is revoked or expired. The quota is the tenant's own."""
    row = await db.row(_AUTHENTICATE, sha256, now)
    if row is None:
        return None
    principal = Principal(
        tenant_id=row["tenant_id"],
        tenant_name=row["tenant_name"],
        key_id=row["id"],
        key_name=row["name"],
        scopes=[Scope(scope) for scope in row["scopes"]],
        cidrs=row["cidrs"],
        expires_at=row["expires_at"],
        tenant_number=row["tenant_number"],
        key_number=row["number"],
        rate=rate_columns.from_columns(row["requests_per_s"], row["requests_burst"]),
        tenant_rate=rate_columns.from_columns(row["tenant_per_s"], row["tenant_burst"]),
        quota=Quota(monitors_max=row["monitors_max"], interval_s_min=row["interval_s_min"]),
    )
    return KeyPrincipal(principal, row["last_used_at"])


async def filter_valid(db: Db, key_ids: list[str], now: datetime) -> set[str]:
    """Returns those of the keys that are neither revoked nor expired."""
    return {row["id"] for row in await db.rows(_FILTER_VALID, key_ids, now)}


async def mark_used(db: Db, key_id: str, now: datetime) -> None:
    """Notes that the key was used."""
    await db.run(_MARK_USED, key_id, now)


def _to_key(row: Row) -> Key:
    return Key(
        id=row["id"],
        name=row["name"],
        scopes=[Scope(scope) for scope in row["scopes"]],
        cidrs=row["cidrs"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        last_used_at=row["last_used_at"],
        rate=rate_columns.from_columns(row["requests_per_s"], row["requests_burst"]),
    )
