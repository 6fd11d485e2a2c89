"""Keys: who may ask. A secret is never stored, only its SHA-256."""

from datetime import datetime

import msgspec

from libs.model.tenancy import Key, Principal, Quota, Scope
from libs.store import rates
from libs.store.driver import Db, Row

_ADD = """
INSERT INTO keys (id, tenant_id, name, sha256, scopes, cidrs, created_at, expires_at, requests_per_s, requests_burst)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
"""
_LIST = """
SELECT id, name, scopes, cidrs, created_at, expires_at, last_used_at, requests_per_s, requests_burst
FROM keys WHERE tenant_id = $1 AND revoked_at IS NULL ORDER BY id
"""
_LOCKED = f"{_LIST} FOR UPDATE"
_REVOKE = "UPDATE keys SET revoked_at = $3 WHERE tenant_id = $1 AND id = $2 AND revoked_at IS NULL"
_IS_OPERATOR = """
SELECT EXISTS (
    SELECT FROM keys
    WHERE id = $1 AND 'operator' = ANY(scopes) AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
)
"""
_OTHER_OPERATOR = """
SELECT EXISTS (
    SELECT FROM keys
    WHERE id <> $1 AND 'operator' = ANY(scopes) AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
)
"""
_TENANT = "SELECT tenant_id FROM keys WHERE id = $1"
_BEARER = """
SELECT keys.id, keys.number, keys.name, scopes, cidrs, expires_at, last_used_at, keys.requests_per_s,
       keys.requests_burst, tenant_id, tenants.name AS tenant_name, tenants.number AS tenant_number,
       tenants.requests_per_s AS tenant_per_s, tenants.requests_burst AS tenant_burst, monitors_max, interval_s_min
FROM keys JOIN tenants ON tenants.id = keys.tenant_id
WHERE sha256 = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
"""
_STILL_GOOD = """
SELECT id FROM keys WHERE id = ANY($1::uuid[]) AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
"""
# SKIP LOCKED: no request waits for another one that notes the same thing.
_TOUCH = """
UPDATE keys SET last_used_at = $2
WHERE id = (SELECT id FROM keys WHERE id = $1 FOR NO KEY UPDATE SKIP LOCKED)
"""


class Bearer(msgspec.Struct, frozen=True):
    """Who bears a key, and when it was last noted as used."""

    principal: Principal
    last_used_at: datetime | None


async def add(db: Db, tenant_id: str, key: Key, sha256: bytes) -> None:
    which = (key.id, tenant_id, key.name, sha256, list(key.scopes), key.cidrs)
    await db.run(_ADD, *which, key.created_at, key.expires_at, *rates.columns(key.rate))


async def unrevoked(db: Db, tenant_id: str) -> list[Key]:
    """Returns the tenant's keys, oldest first."""
    return [_key(row) for row in await db.rows(_LIST, tenant_id)]


async def locked(db: Db, tenant_id: str) -> list[Key]:
    """Returns the tenant's keys and keeps others from revoking one until the transaction ends."""
    return [_key(row) for row in await db.rows(_LOCKED, tenant_id)]


async def revoke(db: Db, tenant_id: str, key_id: str, now: datetime) -> None:
    await db.run(_REVOKE, tenant_id, key_id, now)


async def is_operator(db: Db, key_id: str, now: datetime) -> bool:
    """Tells whether the key works and operates the installation."""
    return bool(await db.value(_IS_OPERATOR, key_id, now))


async def has_other_operator(db: Db, key_id: str, now: datetime) -> bool:
    """Tells whether another key, of whatever tenant, works and operates the installation."""
    return bool(await db.value(_OTHER_OPERATOR, key_id, now))


async def tenant(db: Db, key_id: str) -> str | None:
    """Returns whose the key is, or was before it was revoked."""
    found: str | None = await db.value(_TENANT, key_id)
    return found


async def bearer(db: Db, sha256: bytes, now: datetime) -> Bearer | None:
    """Returns who bears the key with this digest, unless it is revoked or expired. The quota is the tenant's own."""
    row = await db.row(_BEARER, sha256, now)
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
        rate=rates.rate(row["requests_per_s"], row["requests_burst"]),
        tenant_rate=rates.rate(row["tenant_per_s"], row["tenant_burst"]),
        quota=Quota(monitors_max=row["monitors_max"], interval_s_min=row["interval_s_min"]),
    )
    return Bearer(principal, row["last_used_at"])


async def still_good(db: Db, key_ids: list[str], now: datetime) -> set[str]:
    """Returns those of the keys that are neither revoked nor expired."""
    return {row["id"] for row in await db.rows(_STILL_GOOD, key_ids, now)}


async def touch(db: Db, key_id: str, now: datetime) -> None:
    """Notes that the key was used."""
    await db.run(_TOUCH, key_id, now)


def _key(row: Row) -> Key:
    return Key(
        id=row["id"],
        name=row["name"],
        scopes=[Scope(scope) for scope in row["scopes"]],
        cidrs=row["cidrs"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        last_used_at=row["last_used_at"],
        rate=rates.rate(row["requests_per_s"], row["requests_burst"]),
    )
