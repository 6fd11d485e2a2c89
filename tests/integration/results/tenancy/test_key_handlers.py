import asyncio
import hashlib
from datetime import timedelta
from typing import Any

import pytest

from libs.bus import subjects
from libs.model.requests.base import Idempotency
from libs.model.requests.errors import ErrorCode
from libs.model.requests.messages import Authenticate, Bootstrap, CreateKey, DeleteKey, ListKeys
from libs.model.tenancy import KeyCreated, Principal, Scope, api_key_digest
from tests.support.room import Room


async def create(room: Room, *scopes: Scope, **fields: object) -> KeyCreated:
    request = CreateKey(tenant_id=room.tenant_id, name="k", scopes=list(scopes or [Scope.READ]), **fields)  # type: ignore[arg-type]
    return await room.ask(request)


async def authenticate(room: Room, key: KeyCreated) -> Principal:
    return await room.ask(Authenticate(key_sha256=api_key_digest(key.key)))


async def test_a_key_is_shown_once_and_only_its_hash_is_stored(room: Room) -> None:
    made = await create(room, Scope.WRITE, cidrs=["10.0.0.0/8"], expires_at=room.clock.now + timedelta(days=1))
    assert made.key.startswith("vdt_")
    assert len(made.key) == 47
    (row,) = await room.rows("SELECT * FROM keys")
    assert row["sha256"] == hashlib.sha256(made.key.encode()).digest()
    assert made.key not in str(row)
    (listed,) = await room.ask(ListKeys(tenant_id=room.tenant_id))
    assert (listed.id, listed.scopes, listed.cidrs, listed.last_used_at) == (
        made.id,
        [Scope.WRITE],
        ["10.0.0.0/8"],
        None,
    )


async def test_a_bearer_is_recognised_by_the_hash_of_the_key(room: Room) -> None:
    made = await create(room, Scope.ADMIN)
    principal = await authenticate(room, made)
    assert (principal.tenant_id, principal.key_id, principal.scopes) == (room.tenant_id, made.id, [Scope.ADMIN])
    assert principal.tenant_name == f"tenant {room.tenant_id}"


@pytest.mark.parametrize("sha256", ["", "no hex", "00" * 32])
async def test_a_foreign_hash_is_nobody(room: Room, sha256: str) -> None:
    assert (await room.refused(Authenticate(key_sha256=sha256))).code is ErrorCode.NOT_FOUND


async def test_an_expired_key_is_nobody(room: Room) -> None:
    made = await create(room, expires_at=room.clock.now + timedelta(minutes=1))
    await authenticate(room, made)
    room.clock.move(minutes=1)
    assert (await room.refused(Authenticate(key_sha256=api_key_digest(made.key)))).code is ErrorCode.NOT_FOUND


async def test_the_last_use_is_noted_at_most_once_a_minute(room: Room) -> None:
    made = await create(room)
    noted = []
    for _ in range(4):
        await authenticate(room, made)
        noted.append((await room.ask(ListKeys(tenant_id=room.tenant_id)))[0].last_used_at)
        room.clock.move(seconds=40)
    assert noted[0] == noted[1]
    assert noted[2] == noted[3] == noted[0] + timedelta(seconds=80)


async def test_a_revoked_key_is_nobody_and_every_gateway_is_told(room: Room) -> None:
    made = await create(room)
    async with room.bus.subscribe(subjects.KEYS_REVOKED) as told, asyncio.timeout(5):
        await room.ask(DeleteKey(tenant_id=room.tenant_id, key_id=made.id))
        assert await anext(told) == made.id.encode()
    assert (await room.refused(Authenticate(key_sha256=api_key_digest(made.key)))).code is ErrorCode.NOT_FOUND
    assert await room.ask(ListKeys(tenant_id=room.tenant_id)) == []
    again = await room.refused(DeleteKey(tenant_id=room.tenant_id, key_id=made.id))
    assert again.code is ErrorCode.NOT_FOUND


async def test_the_last_admin_key_cannot_be_deleted_not_even_by_two_at_once(room: Room) -> None:
    one, two = await create(room, Scope.ADMIN), await create(room, Scope.ADMIN)
    await create(room, Scope.WRITE)
    await create(room, Scope.ADMIN, expires_at=room.clock.now - timedelta(days=1))
    deletes = [DeleteKey(tenant_id=room.tenant_id, key_id=key.id) for key in (one, two)]

    async def delete(request: DeleteKey) -> None:
        try:
            await room.ask(request)
        except Exception as error:  # noqa: BLE001 - looked at below
            errors.append(error)

    errors: list[Exception] = []
    async with asyncio.TaskGroup() as group:
        for request in deletes:
            group.create_task(delete(request))
    assert len(errors) == 1
    assert "last admin key" in str(errors[0])


async def test_a_repeated_create_never_shows_the_secret_again(room: Room) -> None:
    same = CreateKey(
        tenant_id=room.tenant_id, name="k", scopes=[Scope.READ], idempotency=Idempotency(key="i", fingerprint="f")
    )
    made = await room.ask(same)
    refusal = await room.refused(same)
    assert refusal.code is ErrorCode.CONFLICT
    assert made.id in refusal.detail
    assert made.key not in refusal.detail
    assert len(await room.ask(ListKeys(tenant_id=room.tenant_id))) == 1


async def test_many_bootstraps_at_once_make_one_tenant_with_one_key(room: Room) -> None:
    await room.rows("DELETE FROM tenants")
    async with asyncio.TaskGroup() as group:
        asked = [Bootstrap(tenant_name="main", key_sha256=api_key_digest(str(number))) for number in range(10)]
        tasks = [group.create_task(room.ask(request)) for request in asked]
    (made,) = [request for request, task in zip(asked, tasks, strict=True) if task.result()]
    bearer = await room.ask(Authenticate(key_sha256=made.key_sha256))
    assert (bearer.tenant_name, bearer.scopes) == ("main", [Scope.ADMIN, Scope.OPERATOR])
    assert len(await room.rows("SELECT * FROM keys")) == 1


async def test_a_bootstrap_whose_answer_was_lost_is_asked_again(room: Room) -> None:
    await room.rows("DELETE FROM tenants")
    request = Bootstrap(tenant_name="main", key_sha256=api_key_digest("secret"))
    assert await room.ask(request)
    assert await room.ask(request)
    assert len(await room.rows("SELECT * FROM keys")) == 1


_ADD_MANY_KEYS = """
INSERT INTO keys (id, tenant_id, name, sha256, scopes)
SELECT gen_random_uuid(), $1, repeat('n', 200), sha256(n::text::bytea), '{read}' FROM generate_series(1, 2400) AS n
"""


async def test_a_tenant_has_no_more_keys_than_one_answer_can_list(room: Room) -> None:
    made = await create(room)
    async with room.store.connection() as db:
        await db.run(_ADD_MANY_KEYS, room.tenant_id)
    refusal = await room.refused(CreateKey(tenant_id=room.tenant_id, name="k", scopes=[Scope.READ]))
    assert refusal.code is ErrorCode.QUOTA
    assert "revoke" in refusal.detail
    listed = await room.ask(ListKeys(tenant_id=room.tenant_id))
    assert made.id in {key.id for key in listed}
    assert len(listed) == 2401


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": "\0"}, "name"),
        ({"name": "n" * 201}, "name"),
        ({"cidrs": ["192.0.2.1", "10.0.0.0/" + "0" * 99 + "8"]}, "cidrs[1]"),
        ({"cidrs": ["192.0.2.1"] * 65}, "cidrs"),
    ],
)
async def test_a_key_that_would_not_fit_is_refused_by_its_field(room: Room, fields: dict[str, Any], field: str) -> None:
    plain = {"tenant_id": room.tenant_id, "name": "k", "scopes": [Scope.READ]}
    refusal = await room.refused(CreateKey(**plain | fields))
    assert (refusal.code, refusal.field) == (ErrorCode.INVALID, field)
    assert await room.ask(ListKeys(tenant_id=room.tenant_id)) == []
