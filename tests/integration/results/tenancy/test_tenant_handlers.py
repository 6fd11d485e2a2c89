"""What operators of the installation do: tenants."""

import asyncio

import pytest

from libs.model.requests.base import Page
from libs.model.requests.errors import ErrorCode, RequestError
from libs.model.requests.messages import ChangeTenant, CreateTenant, GetTenant, ListTenants
from libs.model.tenancy import Rate, Tenant
from tests.support.room import Room


async def create(room: Room, name: str, **fields: object) -> Tenant:
    return await room.ask(CreateTenant(name=name, **fields))  # type: ignore[arg-type]


async def change(room: Room, tenant: Tenant, **fields: object) -> Tenant:
    return await room.ask(ChangeTenant(tenant_id=tenant.id, **fields))  # type: ignore[arg-type]


async def listed(room: Room, **fields: object) -> Page[Tenant]:
    return await room.ask(ListTenants(**({"limit": 50} | fields)))


async def test_a_tenant_has_what_it_was_made_with(room: Room) -> None:
    made = await create(room, "Kovács Bt.", rate=Rate(per_s=0.5, burst=3), monitors_max=7, interval_s_min=60)
    assert (made.name, made.rate, made.monitors_max, made.interval_s_min, made.monitors) == (
        "Kovács Bt.",
        Rate(per_s=0.5, burst=3),
        7,
        60,
        0,
    )
    assert await room.ask(GetTenant(tenant_id=made.id)) == made


async def test_a_tenant_without_its_own_values_has_none(room: Room) -> None:
    made = await create(room, "plain")
    assert (made.rate, made.monitors_max, made.interval_s_min) == (None, None, None)


async def test_a_tenant_is_shown_with_its_monitors_that_are_not_deleted(room: Room) -> None:
    made = await create(room, "counted")
    own = Room(room.bus, room.store, room.clock, made.id)
    await own.create()
    await own.remove((await own.create()).id)
    await room.create()
    assert (await room.ask(GetTenant(tenant_id=made.id))).monitors == 1
    assert [each.monitors for each in (await listed(room)).items] == [1, 1]


async def test_a_name_is_given_once_whoever_asks_first(room: Room) -> None:
    refused = []

    async def ask() -> None:
        try:
            await create(room, "same")
        except RequestError as error:
            refused.append((error.info.code, error.info.field))

    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(ask())
    assert refused == [(ErrorCode.CONFLICT, "name")] * 4
    assert len((await listed(room, name="same")).items) == 1


async def test_only_the_named_fields_change(room: Room) -> None:
    made = await create(room, "a", rate=Rate(per_s=1, burst=2), monitors_max=7, interval_s_min=60)
    changed = await change(room, made, name="b", monitors_max=None)
    assert (changed.name, changed.monitors_max, changed.interval_s_min, changed.rate) == ("b", None, 60, made.rate)
    assert await room.ask(GetTenant(tenant_id=made.id)) == changed
    assert (await change(room, made, rate=None)).rate is None


async def test_a_change_to_the_name_of_another_is_a_conflict(room: Room) -> None:
    made, _ = await create(room, "a"), await create(room, "b")
    refusal = await room.refused(ChangeTenant(tenant_id=made.id, name="b"))
    assert (refusal.code, refusal.field) == (ErrorCode.CONFLICT, "name")
    assert (await room.ask(GetTenant(tenant_id=made.id))).name == "a"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": " "}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"monitors_max": -1}, "monitors_max"),
        ({"interval_s_min": 86401}, "interval_s_min"),
        ({"rate": Rate(per_s=-1, burst=1)}, "rate.per_s"),
        ({"rate": Rate(per_s=1, burst=0)}, "rate.burst"),
    ],
)
async def test_what_a_tenant_cannot_have_is_refused(room: Room, fields: dict[str, object], field: str) -> None:
    made = await create(room, "a")
    for request in (CreateTenant(**{"name": "b"} | fields), ChangeTenant(tenant_id=made.id, **fields)):  # type: ignore[arg-type]
        refusal = await room.refused(request)
        assert (refusal.code, refusal.field) == (ErrorCode.INVALID, field)
    assert [each.name for each in (await listed(room)).items][1:] == ["a"]


@pytest.mark.parametrize("tenant_id", ["00000000-0000-7000-8000-00000000dead", "no id", ""])
async def test_a_tenant_that_is_not_there_is_not_found(room: Room, tenant_id: str) -> None:
    for request in (
        GetTenant(tenant_id=tenant_id),
        ChangeTenant(tenant_id=tenant_id, name="x"),
    ):
        assert (await room.refused(request)).code is ErrorCode.NOT_FOUND


async def test_tenants_are_listed_oldest_first_in_pages(room: Room) -> None:
    made = [(await create(room, name)).id for name in "cab"]
    first = await listed(room, limit=2)
    second = await listed(room, limit=2, cursor=first.next_cursor)
    assert [each.id for page in (first, second) for each in page.items] == [room.tenant_id, *made]
    assert second.next_cursor is None
    numbers = [each.number for page in (first, second) for each in page.items]
    assert numbers == sorted(set(numbers))


async def test_a_tenant_is_found_by_exactly_its_name(room: Room) -> None:
    made = await create(room, "shop")
    await create(room, "shop 2")
    assert (await listed(room, name="shop")).items == [made]
    assert (await listed(room, name="sho%")).items == []


@pytest.mark.parametrize("cursor", ["x", "eyJudW1iZXIiOi0xfQ", "eyJudW1iZXIiOjk5OTk5OTk5OTk5OTk5OTk5OTk5fQ"])
async def test_a_cursor_that_is_not_of_tenants_is_refused(room: Room, cursor: str) -> None:
    refusal = await room.refused(ListTenants(limit=1, cursor=cursor))
    assert (refusal.code, refusal.field) == (ErrorCode.INVALID, "cursor")
