"""Buckets as the gateways see them: what is granted holds in sum, whoever asks."""

import asyncio
from typing import Any

from libs.model.ids import new_id
from libs.model.requests.errors import ErrorCode
from libs.model.requests.messages import RateGrant, TakeTokens
from libs.model.tenancy import Rate
from tests.support.room import Room

UNLIMITED = Rate(per_s=0, burst=1)


def rate(burst: int) -> Rate:
    return Rate(per_s=1e-6, burst=burst)


def taking(room: Room, key_id: str | None = None, **fields: Any) -> TakeTokens:
    plain = {"wanted": 1, "key_rate": rate(10), "tenant_rate": UNLIMITED}
    return TakeTokens(tenant_id=room.tenant_id, key_id=key_id or new_id(), **plain | fields)


async def test_keys_have_buckets_of_their_own_within_that_of_their_tenant(room: Room) -> None:
    rates = {"key_rate": rate(10), "tenant_rate": rate(15)}
    granted = [(await room.ask(taking(room, wanted=12, **rates))).granted for _ in range(3)]
    assert granted == [10, 5, 0]


async def test_what_is_put_back_is_there_for_the_next_one(room: Room) -> None:
    key_id = new_id()
    assert (await room.ask(taking(room, key_id, wanted=10))).granted == 10
    assert (await room.ask(taking(room, key_id, wanted=0, unused=4))).left == 4
    assert (await room.ask(taking(room, key_id, wanted=10))).granted == 4


async def test_a_rate_of_zero_keeps_no_bucket(room: Room) -> None:
    unlimited = taking(room, wanted=64, key_rate=UNLIMITED)
    assert await room.ask(unlimited) == RateGrant(granted=64, left=0, retry_after_s=0.0)
    assert await room.rows("SELECT id FROM token_buckets") == []
    await room.ask(taking(room, key_rate=UNLIMITED, tenant_rate=rate(5)))
    assert await room.rows("SELECT id, tokens FROM token_buckets") == [{"id": room.tenant_id, "tokens": 4.0}]


async def test_of_many_who_ask_at_once_only_so_many_are_granted(room: Room) -> None:
    key_id = new_id()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(room.ask(taking(room, key_id, wanted=3))) for _ in range(50)]
    assert sum(task.result().granted for task in tasks) == 10


async def test_ids_that_are_none_are_refused(room: Room) -> None:
    assert (await room.refused(taking(room, "x"))).code is ErrorCode.NOT_FOUND
    stranger = TakeTokens(tenant_id="x", key_id=new_id(), wanted=1, key_rate=UNLIMITED, tenant_rate=UNLIMITED)
    assert (await room.refused(stranger)).code is ErrorCode.NOT_FOUND
