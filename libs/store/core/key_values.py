"""Small values by name that outlive a restart, such as the creation time of a stream."""

from typing import TypeVar

import msgspec

from libs.store.core.driver import Db

T = TypeVar("T")

_GET = "SELECT value FROM key_values WHERE name = $1"
_PUT = "INSERT INTO key_values (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value"


async def get(db: Db, name: str, as_type: type[T]) -> T | None:
    value = await db.value(_GET, name)
    return None if value is None else msgspec.json.decode(value, type=as_type)


async def put(db: Db, name: str, value: object) -> None:
    await db.run(_PUT, name, msgspec.json.encode(value))
