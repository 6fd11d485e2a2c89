"""Who may revoke which key, and who may make an operator's."""

import asyncio
from datetime import timedelta

import pytest

from libs.model.ids import new_id
from libs.model.requests.errors import ErrorCode, RequestError
from libs.model.requests.messages import CreateKey, DeleteKey, ListKeys
from libs.model.tenancy import Actor, Key, KeyCreated, Scope
from libs.store.core import locks
from tests.support.room import Room
from tests.support.wait import eventually

CLI = Actor(via="cli")
_WAITING = """
SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database
WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted
"""


async def create(room: Room, *scopes: Scope, tenant_id: str = "", **fields: object) -> KeyCreated:
    request = CreateKey(tenant_id=tenant_id or room.tenant_id, name="k", scopes=list(scopes), actor=CLI, **fields)  # type: ignore[arg-type]
    return await room.ask(request)


def by(key: KeyCreated) -> Actor:
    return Actor(key_id=key.id, key_name=key.name, address="192.0.2.1", via="native")


def revoke(room: Room, key: KeyCreated, actor: Actor, tenant_id: str = "") -> DeleteKey:
    return DeleteKey(tenant_id=tenant_id or room.tenant_id, key_id=key.id, actor=actor)


async def keys(room: Room, tenant_id: str = "") -> list[Key]:
    return await room.ask(ListKeys(tenant_id=tenant_id or room.tenant_id))


async def test_nobody_of_the_tenant_revokes_its_last_admin_key(room: Room) -> None:
    admin, writer = await create(room, Scope.ADMIN), await create(room, Scope.WRITE)
    for actor in (by(admin), by(writer), Actor(), Actor(key_id=new_id()), Actor(key_id="no id")):
        assert (await room.refused(revoke(room, admin, actor))).code is ErrorCode.CONFLICT
    assert len(await keys(room)) == 2


async def test_a_key_that_was_just_revoked_is_not_one_from_elsewhere(room: Room) -> None:
    one, two = await create(room, Scope.ADMIN), await create(room, Scope.ADMIN, Scope.OPERATOR)
    operator = await create(room, Scope.OPERATOR, tenant_id=await room.add_tenant())
    await room.ask(revoke(room, two, by(operator)))
    assert (await room.refused(revoke(room, one, by(two)))).code is ErrorCode.CONFLICT


async def test_an_operator_revokes_the_last_admin_key_of_another_tenant(room: Room) -> None:
    leaked = await create(room, Scope.ADMIN)
    operator = await create(room, Scope.OPERATOR, tenant_id=await room.add_tenant())
    await room.ask(revoke(room, leaked, by(operator)))
    assert await keys(room) == []


async def test_an_admin_of_another_tenant_does_not(room: Room) -> None:
    last = await create(room, Scope.ADMIN)
    stranger = await create(room, Scope.ADMIN, tenant_id=await room.add_tenant())
    assert (await room.refused(revoke(room, last, by(stranger)))).code is ErrorCode.CONFLICT


async def test_the_operator_scope_includes_admin(room: Room) -> None:
    operator, admin = await create(room, Scope.OPERATOR), await create(room, Scope.ADMIN)
    await room.ask(revoke(room, admin, by(operator)))
    assert "last admin key" in (await room.refused(revoke(room, operator, by(operator)))).detail


async def test_only_the_cli_revokes_the_last_operator_key(room: Room) -> None:
    last, _ = await create(room, Scope.OPERATOR), await create(room, Scope.ADMIN)
    await create(room, Scope.OPERATOR, expires_at=room.clock.now - timedelta(days=1))
    assert "last operator key" in (await room.refused(revoke(room, last, by(last)))).detail
    await room.ask(revoke(room, last, CLI))
    assert last.id not in {key.id for key in await keys(room)}


async def test_an_operator_key_that_has_expired_is_not_the_last_one(room: Room) -> None:
    old = await create(room, Scope.OPERATOR, expires_at=room.clock.now + timedelta(days=1))
    admin = await create(room, Scope.ADMIN)
    room.clock.move(days=2)
    await room.ask(revoke(room, old, by(admin)))


async def test_two_operators_who_revoke_each_other_leave_one(room: Room) -> None:
    other = await room.add_tenant()
    here, there = await create(room, Scope.OPERATOR), await create(room, Scope.OPERATOR, tenant_id=other)
    refused = []

    async def ask(request: DeleteKey) -> None:
        try:
            await room.ask(request)
        except RequestError as error:
            refused.append(error.info.code)

    async def both_wait() -> bool:
        return (await room.rows(_WAITING))[0]["count"] == 2

    async with asyncio.TaskGroup() as group, room.store.transaction() as db:
        await locks.acquire(db, locks.AdvisoryLock.OPERATORS)
        group.create_task(ask(revoke(room, here, by(there))))
        group.create_task(ask(revoke(room, there, by(here), other)))
        await eventually(both_wait, within_s=4, what="two that wait")
    assert refused == [ErrorCode.CONFLICT]
    assert len(await keys(room) + await keys(room, other)) == 1


@pytest.mark.parametrize("scope", [Scope.READ, Scope.WRITE, Scope.ADMIN])
async def test_who_is_no_operator_makes_none(room: Room, scope: Scope) -> None:
    key = await create(room, scope)
    for actor in (by(key), Actor()):
        request = CreateKey(tenant_id=room.tenant_id, name="k", scopes=[Scope.OPERATOR], actor=actor)
        refusal = await room.refused(request)
        assert (refusal.code, refusal.field) == (ErrorCode.INVALID, "scopes")


async def test_an_operator_makes_keys_for_any_tenant(room: Room) -> None:
    operator, other = await create(room, Scope.OPERATOR), await room.add_tenant()
    for scope in Scope:
        await room.ask(CreateKey(tenant_id=other, name="k", scopes=[scope], actor=by(operator)))
    assert [key.scopes for key in await keys(room, other)] == [[scope] for scope in Scope]


async def test_a_key_for_a_tenant_that_is_not_there_is_not_found(room: Room) -> None:
    refusal = await room.refused(CreateKey(tenant_id=new_id(), name="k", scopes=[Scope.READ]))
    assert refusal.code is ErrorCode.NOT_FOUND
    assert "tenant" in refusal.detail
