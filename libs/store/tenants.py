"""Tenants: whose things they are."""

from libs.store.driver import Db

_ANY = "SELECT EXISTS (SELECT FROM tenants)"
_ADD = "INSERT INTO tenants (id, name) VALUES ($1, $2)"


async def exist(db: Db) -> bool:
    return bool(await db.value(_ANY))


async def add(db: Db, tenant_id: str, name: str) -> None:
    await db.run(_ADD, tenant_id, name)
