"""Assets by the thousand: listed with little work for each, and in messages that are not too large."""

from typing import Any

import msgspec
import pytest

from libs.store.core.driver import Db
from tests.integration.results.assets.test_asset_handlers import creation, listed, numbers
from tests.support.room import Room, draft

COPIES = (
    """INSERT INTO monitors SELECT (jsonb_populate_record(m, jsonb_build_object('id', gen_random_uuid()))).*
       FROM monitors m, generate_series(1, {count})""",
    "INSERT INTO states SELECT id, 'pending', now(), '' FROM monitors ON CONFLICT DO NOTHING",
    """INSERT INTO assets SELECT m.id, a.tenant_id, dialect, type, number + row_number() OVER (), m.id::text, fields,
       now(), now() FROM monitors m, assets a WHERE m.id NOT IN (SELECT monitor_id FROM asset_parts)""",
    "INSERT INTO asset_parts SELECT id, 'http', id FROM assets WHERE number > 1",
)


async def add_many(room: Room, count: int) -> None:
    """Adds assets of one part each. The rows of all but the first are copies: a create takes a while."""
    await room.ask(creation(room, parts={"http": draft()}))
    async with room.store.transaction() as db:
        for statement in COPIES:
            await db.run(statement.replace("{count}", str(count - 1)))


async def test_a_thousand_assets_are_listed_with_one_query_for_each_page(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_many(room, 1000)
    asked: list[str] = []
    for name in ("rows", "row", "value", "run"):
        monkeypatch.setattr(Db, name, _counted(getattr(Db, name), asked))
    after, found = 0, []
    for _ in range(10):
        page = await listed(room, limit=100, after=after)
        found += [asset.number for asset in page.items if asset.parts["http"].name]
        after = int(page.next_cursor or 0)
    assert (found, after) == (list(range(1, 1001)), 0)
    assert len(asked) == 10


def _counted(method: Any, asked: list[str]) -> Any:
    async def counted(self: Db, sql: str, *args: object) -> Any:
        asked.append(sql)
        return await method(self, sql, *args)

    return counted


async def test_a_page_too_large_for_a_message_is_shorter_and_the_rest_follows(room: Room) -> None:
    large = msgspec.Raw(msgspec.json.encode({"name": "x" * 300_000}))
    for name in ("a", "b", "c"):
        await room.ask(creation(room, name, fields=large, parts={}))
    page = await listed(room)
    assert ([asset.number for asset in page.items], page.next_cursor) == ([1, 2], "2")
    assert await numbers(room, after=2) == [3]


async def test_a_page_costs_the_same_for_each_asset_while_the_database_has_no_statistics(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in the first minute of a tenant that brings thousands: PostgreSQL has not yet looked at what is in its tables."""
    await add_many(room, 300)
    for table in ("assets", "asset_parts", "monitors", "states", "confirmations"):
        await room.rows("SELECT pg_clear_relation_stats('public', $1)", table)
    asked: list[str] = []
    monkeypatch.setattr(Db, "rows", _counted(Db.rows, asked))
    assert len((await listed(room, limit=250)).items) == 250
    key = (room.tenant_id, "api-v1", "device", 0, 250)
    (row,) = await room.rows(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {asked[0]}", *key)
    (explained,) = msgspec.json.decode(row["QUERY PLAN"])
    assert explained["Plan"]["Shared Hit Blocks"] < 250 * 100
