"""Tenants: whose things they are."""

from libs.store.driver import Db

_BOOTSTRAP_LOCK = 0x626F6F74  # "boot"

_LOCK = "SELECT pg_advisory_xact_lock($1)"
_ANY = "SELECT EXISTS (SELECT FROM tenants)"
_ADD = "INSERT INTO tenants (id, name) VALUES ($1, $2)"


async def lock_bootstrap(db: Db) -> None:
    """Makes every other bootstrap wait until this transaction ends."""
    await db.run(_LOCK, _BOOTSTRAP_LOCK)


async def exist(db: Db) -> bool:
    return bool(await db.value(_ANY))


async def add(db: Db, tenant_id: str, name: str) -> None:
    await db.run(_ADD, tenant_id, name)
