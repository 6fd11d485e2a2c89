import asyncio
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from libs.model.asset import Asset, CreateAsset, DeleteAsset, ListAssets
from libs.model.ids import new_id
from libs.model.outcome import Status
from libs.model.requests.base import Page
from libs.model.requests.errors import ErrorCode, ErrorInfo, RequestError
from libs.model.requests.messages import DeleteMonitor, ListMonitors
from libs.model.tenancy import Actor
from libs.store.monitors import assets, tombstones
from services.results.assets.asset_handlers import AssetHandlers
from services.results.tenancy.quotas import QuotaPolicy
from tests.support.room import Room, draft, somebody_waits, spec

DEVICES = {"dialect": "api-v1", "sort": "device"}
ACTOR = Actor(key_name="hoster", address="192.0.2.7", via="api-v1")
TABLES = (
    "monitors",
    "states",
    "schedules",
    "confirmations",
    "outbox",
    "audit",
    "assets",
    "asset_parts",
    "asset_numbers",
)


def creation(room: Room, identity: str = "example.com", **fields: Any) -> CreateAsset:
    plain: dict[str, Any] = {**DEVICES, "tenant_id": room.tenant_id, "actor": ACTOR, "identity": identity}
    plain["fields"] = msgspec.Raw(b'{"name": "%s"}' % identity.encode())
    plain["parts"] = {"http": draft(name="web"), "tls": draft(name="certificate")}
    return CreateAsset(**plain | fields)


async def listed(room: Room, **fields: Any) -> Page[Asset]:
    return await room.ask(ListAssets(**DEVICES | {"tenant_id": room.tenant_id, "limit": 50} | fields))


async def numbers(room: Room, **fields: Any) -> list[int]:
    return [asset.number for asset in (await listed(room, **fields)).items]


def deletion(room: Room, number: int, **fields: Any) -> DeleteAsset:
    return DeleteAsset(**DEVICES | {"tenant_id": room.tenant_id, "actor": ACTOR, "number": number} | fields)


async def counts(room: Room) -> dict[str, int]:
    found = {}
    for table in TABLES:
        (row,) = await room.rows(f"SELECT count(*) AS n FROM {table}")
        found[table] = row["n"]
    return found


async def outcome(room: Room, request: CreateAsset) -> Asset | ErrorInfo:
    try:
        return await room.ask(request)
    except RequestError as error:
        return error.info


async def test_a_new_asset_is_its_monitors_watched_and_labelled(room: Room) -> None:
    made = await room.ask(creation(room, parts={"http": draft(labels={"a": "b"}), "tls": draft(name="certificate")}))
    assert (made.number, made.created_at, made.updated_at) == (1, room.clock.now, room.clock.now)
    assert msgspec.json.decode(made.fields) == {"name": "example.com"}
    assert made.parts["http"].labels == {"a": "b", "api-v1/device": "1"}
    assert made.parts["tls"].name == "certificate"
    assert made.parts == {part: await room.get(view.id) for part, view in made.parts.items()}
    assert (await listed(room)).items == [made]
    assert len(await room.rows("SELECT FROM outbox WHERE subject LIKE 'due.%'")) == 2
    labelled = await room.ask(ListMonitors(tenant_id=room.tenant_id, limit=9, labels={"api-v1/device": "1"}))
    assert {view.id for view in labelled.items} == {view.id for view in made.parts.values()}


async def test_numbers_count_for_each_tenant_dialect_and_sort(room: Room) -> None:
    other = await room.add_tenant()
    apart = [{}, {"tenant_id": other}, {"dialect": "whmcs"}, {"sort": "blacklist"}]
    made = [[await room.ask(creation(room, name, **fields)) for name in ("a", "b")] for fields in apart]
    assert [[asset.number for asset in pair] for pair in made] == [[1, 2]] * 4
    for fields, pair in zip(apart, made, strict=True):
        assert (await listed(room, **fields)).items == pair


async def test_a_number_is_never_given_twice(room: Room) -> None:
    assert (await room.ask(creation(room))).number == 1
    await room.ask(deletion(room, 1))
    assert (await room.ask(creation(room))).number == 2


async def test_the_same_identity_again_is_a_conflict_and_leaves_nothing_behind(room: Room) -> None:
    await room.ask(creation(room))
    before = await counts(room)
    assert (await room.refused(creation(room))).code is ErrorCode.CONFLICT
    assert await counts(room) == before


async def test_of_racing_creates_of_one_identity_exactly_one_wins(room: Room) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(outcome(room, creation(room))) for _ in range(8)]
    answers = [task.result() for task in tasks]
    assert sum(isinstance(answer, Asset) for answer in answers) == 1
    refused = {answer.code for answer in answers if isinstance(answer, ErrorInfo)}
    assert refused == {ErrorCode.CONFLICT}
    assert len(await room.rows("SELECT FROM monitors")) == 2


async def test_racing_creates_of_different_identities_get_different_numbers(room: Room) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(room.ask(creation(room, str(n)))) for n in range(12)]
    assert sorted(task.result().number for task in tasks) == list(range(1, 13))
    assert await numbers(room) == list(range(1, 13))


async def test_who_waits_for_an_identity_gets_it_if_the_first_one_gives_up(room: Room) -> None:
    """Decided by the index: while the first create may still fail, the second is neither refused nor let through."""
    asset_type = assets.AssetType(tenant_id=room.tenant_id, dialect=DEVICES["dialect"], type=DEVICES["sort"])
    async with asyncio.TaskGroup() as group, room.store.connection() as db:
        await db.run("BEGIN")
        number = await assets.next_number(db, asset_type)
        first = assets.AssetRow(id=new_id(), number=number, identity="example.com")
        assert await assets.add(db, asset_type, first, msgspec.Raw(b"{}"), room.clock.now)
        task = group.create_task(outcome(room, creation(room)))
        await somebody_waits(room.store)
        await db.run("ROLLBACK")
    made = task.result()
    assert isinstance(made, Asset)
    assert made.number == 1


async def test_deleting_an_asset_locks_its_parts_in_the_order_of_their_monitors(room: Room) -> None:
    made = await room.ask(creation(room))
    first, last = sorted(view.id for view in made.parts.values())
    await room.rows("UPDATE asset_parts SET part = 'z' WHERE monitor_id = $1 RETURNING part", first)
    async with asyncio.TaskGroup() as group, room.store.transaction() as db:
        await db.run("SELECT FROM asset_parts WHERE monitor_id = $1 FOR UPDATE", first)
        group.create_task(room.ask(deletion(room, made.number)))
        await somebody_waits(room.store)
        await db.run("SELECT FROM asset_parts WHERE monitor_id = $1 FOR UPDATE NOWAIT", last)


async def test_a_part_that_is_refused_leaves_nothing_of_the_others_behind(room: Room) -> None:
    before = await counts(room)
    parts = {"http": draft(), "tls": draft(interval_s=10, timeout_s=10.0)}
    refusal = await room.refused(creation(room, parts=parts))
    assert (refusal.code, refusal.field) == (ErrorCode.INVALID, "timeout_s")
    assert await counts(room) == before


async def test_parts_are_checked_as_often_as_the_tenant_may(room: Room) -> None:
    await room.rows("UPDATE tenants SET interval_s_min = 200 WHERE id = $1 RETURNING 1", room.tenant_id)
    made = await room.ask(creation(room, parts={"http": draft(interval_s=60), "tls": draft(interval_s=3600)}))
    assert {part: view.interval_s for part, view in made.parts.items()} == {"http": 240, "tls": 3600}


async def test_a_quota_reached_in_the_middle_leaves_nothing_behind(room: Room) -> None:
    await room.rows("UPDATE tenants SET monitors_max = 1 WHERE id = $1 RETURNING 1", room.tenant_id)
    before = await counts(room)
    assert (await room.refused(creation(room))).code is ErrorCode.QUOTA
    assert await counts(room) == before
    assert (await room.ask(creation(room, parts={"http": draft()}))).number == 1


async def test_what_is_sealed_is_not_shown(room: Room) -> None:
    secret = spec(url="http://127.0.0.1/", bearer={"sealed": "text", "for": "http://127.0.0.1"})
    made = await room.ask(creation(room, parts={"http": draft(spec=secret)}))
    (found,) = (await listed(room)).items
    for asset in (made, found):
        assert msgspec.json.decode(asset.parts["http"].spec)["bearer"] == {"sealed": True}


async def test_the_list_shows_the_last_status_of_each_part(room: Room) -> None:
    made = await room.ask(creation(room))
    await room.add_result(made.parts["tls"].id, room.clock.now, Status.DOWN)
    (asset,) = (await listed(room)).items
    last = {part: view.last_result and view.last_result.status for part, view in asset.parts.items()}
    assert last == {"http": None, "tls": Status.DOWN}


async def test_a_monitor_deleted_natively_is_no_part_any_more(room: Room) -> None:
    made = await room.ask(creation(room))
    for part, left in (("http", {"tls"}), ("tls", set())):
        await room.ask(DeleteMonitor(tenant_id=room.tenant_id, monitor_id=made.parts[part].id))
        (asset,) = (await listed(room)).items
        assert (asset.number, asset.parts.keys()) == (1, left)
    await room.ask(deletion(room, 1))
    assert await numbers(room) == []


async def test_deleting_an_asset_ends_its_monitors_and_frees_its_identity(room: Room) -> None:
    made, kept = await room.ask(creation(room)), await room.ask(creation(room, "other.example"))
    room.clock.move(seconds=5)
    await room.ask(deletion(room, made.number))
    assert await numbers(room) == [kept.number]
    there = (await room.ask(ListMonitors(tenant_id=room.tenant_id, limit=9))).items
    assert {view.id for view in there} == {view.id for view in kept.parts.values()}
    assert len(await room.rows("SELECT FROM schedules WHERE active")) == 2
    assert (await room.refused(deletion(room, made.number))).code is ErrorCode.NOT_FOUND
    assert (await room.ask(creation(room))).parts.keys() == made.parts.keys()


@pytest.mark.parametrize("number", [0, -1, 2, 2**63, 10**30])
async def test_a_number_that_nothing_has_is_not_found(room: Room, number: int) -> None:
    await room.ask(creation(room))
    assert (await room.refused(deletion(room, number))).code is ErrorCode.NOT_FOUND


async def test_the_assets_of_another_tenant_are_neither_seen_nor_deleted(room: Room) -> None:
    made = await room.ask(creation(room))
    other = await room.add_tenant()
    assert await numbers(room, tenant_id=other) == []
    assert (await room.refused(deletion(room, made.number, tenant_id=other))).code is ErrorCode.NOT_FOUND
    for apart in ({"dialect": "whmcs"}, {"sort": "blacklist"}):
        assert (await room.refused(deletion(room, made.number, **apart))).code is ErrorCode.NOT_FOUND
    assert (await listed(room)).items == [made]


async def test_the_audit_tells_who_created_and_deleted_what(room: Room) -> None:
    await room.ask(creation(room))
    await room.ask(deletion(room, 1))
    rows = await room.rows("SELECT * FROM audit ORDER BY id")
    assert [row["action"] for row in rows if row["action"].startswith("monitor.")] == [
        *["monitor.created"] * 2,
        *["monitor.deleted"] * 2,
    ]
    told = [row for row in rows if row["action"].startswith("asset.")]
    assert [row["action"] for row in told] == ["asset.created", "asset.deleted"]
    assert {(row["object_id"], row["object_name"]) for row in told} == {("api-v1/device/1", "example.com")}
    assert {(row["key_name"], row["address"], row["via"]) for row in rows} == {("hoster", "192.0.2.7", "api-v1")}


async def test_the_relay_is_woken_after_what_was_committed_and_nothing_else(room: Room) -> None:
    woken: list[int] = []
    handler = AssetHandlers(room.store, room.clock, QuotaPolicy(shards=2), lambda: woken.append(1))
    await handler.create(creation(room))
    assert len(woken) == 1
    with pytest.raises(RequestError):
        await handler.create(creation(room))
    await handler.page(ListAssets(**DEVICES, tenant_id=room.tenant_id, limit=1))
    assert len(woken) == 1
    await handler.delete(deletion(room, 1))
    assert len(woken) == 2


async def test_parts_do_not_keep_deleted_monitors_from_being_purged(room: Room) -> None:
    made = await room.ask(creation(room))
    await room.ask(DeleteMonitor(tenant_id=room.tenant_id, monitor_id=made.parts["http"].id))
    async with room.store.transaction() as db:
        await db.run("DELETE FROM schedules WHERE NOT active")
        assert await tombstones.purge(db, room.clock.now + timedelta(days=1), 10) == 1
    assert [row["part"] for row in await room.rows("SELECT part FROM asset_parts")] == ["tls"]
    (asset,) = (await listed(room)).items
    assert asset.parts.keys() == {"tls"}


@pytest.mark.parametrize(("after", "found"), [(-5, [1]), (1, []), (2**63, [])])
async def test_a_page_may_start_anywhere(room: Room, after: int, found: list[int]) -> None:
    await room.ask(creation(room))
    assert await numbers(room, after=after) == found
