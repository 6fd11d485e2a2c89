"""Token buckets in a real PostgreSQL: what many take at once holds in sum."""

import asyncio
import random
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from libs.model.ids import new_id
from libs.model.requests.messages import RateGrant
from libs.model.tenancy import Rate
from libs.store.core.migrate import migrate
from libs.store.core.pool import Store, open_store
from libs.store.tenancy import token_buckets

SLOW = 1e-6  # per second: within a test, nothing is refilled


@pytest.fixture
async def store(postgres_dsn: str) -> AsyncIterator[Store]:
    await migrate(postgres_dsn)
    async with open_store(postgres_dsn) as store:
        yield store


async def take(store: Store, rates: dict[str, Rate], wanted: int, unused: int = 0) -> RateGrant:
    async with store.connection() as db:
        return await token_buckets.take(db, rates, wanted, unused)


async def shift_back(store: Store, length: timedelta) -> None:
    """Makes the past longer."""
    async with store.connection() as db:
        await db.run("UPDATE token_buckets SET at = at - $1::interval", length)


async def levels(store: Store) -> list[float]:
    async with store.connection() as db:
        return [row["tokens"] for row in await db.rows("SELECT tokens FROM token_buckets ORDER BY tokens")]


def rate(burst: int, per_s: float = SLOW) -> Rate:
    return Rate(per_s=per_s, burst=burst)


async def test_a_bucket_that_is_not_there_is_full_and_whole_tokens_are_taken_until_it_is_empty(store: Store) -> None:
    key = {new_id(): rate(10)}
    first, second, third = [await take(store, key, 4) for _ in range(3)]
    assert (first.granted, first.left, first.retry_after_s) == (4, 6, 0.0)
    assert (second.granted, second.left) == (4, 2)
    assert (third.granted, third.left, third.retry_after_s) == (2, 0, 0.0)
    denied = await take(store, key, 4)
    assert (denied.granted, denied.left) == (0, 0)
    assert denied.retry_after_s == pytest.approx(1 / SLOW, rel=0.01)


async def test_the_emptier_bucket_decides_and_both_are_taken_from(store: Store) -> None:
    key, sibling, tenant = new_id(), new_id(), new_id()
    assert (await take(store, {key: rate(10), tenant: rate(15)}, 100)).granted == 10
    assert (await take(store, {sibling: rate(10), tenant: rate(15)}, 100)).granted == 5
    assert await levels(store) == pytest.approx([0, 0, 5], abs=0.01)
    denied = await take(store, {sibling: rate(10, 1000), tenant: rate(15, 0.5)}, 1)
    assert denied.granted == 0
    assert 1 < denied.retry_after_s <= 2


async def test_time_refills_and_what_was_unused_is_put_back_never_beyond_the_burst(store: Store) -> None:
    key = {new_id(): rate(10, 0.001)}
    await take(store, key, 10)
    await shift_back(store, timedelta(seconds=4500))
    assert (await take(store, key, 100)).granted == 4
    assert (await take(store, key, 100, unused=3)).granted == 3
    await shift_back(store, timedelta(days=9))
    assert (await take(store, key, 0, unused=50)).left == 10
    assert await levels(store) == [10.0]


async def test_a_smaller_burst_holds_at_once_and_a_clock_set_back_neither_fills_nor_stops_a_bucket(
    store: Store,
) -> None:
    key = new_id()
    await take(store, {key: rate(1000)}, 1)
    assert (await take(store, {key: rate(5)}, 1)).left == 4
    await shift_back(store, timedelta(hours=-1))
    assert (await take(store, {key: rate(5)}, 100)).granted == 4
    await shift_back(store, timedelta(seconds=2))
    assert (await take(store, {key: rate(5, 1)}, 100)).granted == 2


async def test_many_who_take_at_once_get_no_more_than_there_is_and_never_block_each_other(store: Store) -> None:
    keys, tenants = [new_id() for _ in range(4)], [new_id() for _ in range(2)]
    chances = random.Random(7)

    async def taker() -> int:
        key, tenant = chances.choice(keys), chances.choice(tenants)
        # In both orders, as if rows were locked in the order of the request.
        pair = [(key, rate(200, 10)), (tenant, rate(60, 10))]
        chances.shuffle(pair)
        return (await take(store, dict(pair), chances.randint(1, 5))).granted

    started = time.monotonic()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(taker()) for _ in range(300)]
    elapsed_s = time.monotonic() - started
    granted = sum(task.result() for task in tasks)
    assert 120 <= granted <= 120 + 2 * 10 * elapsed_s
    assert min(await levels(store)) >= 0


async def test_buckets_that_are_removed_meanwhile_are_added_again(store: Store) -> None:
    rates = {new_id(): rate(10**6), new_id(): rate(10**6)}

    async def forget() -> int:
        async with store.connection() as db:
            return await token_buckets.delete_idle(db, datetime.now(UTC) + timedelta(days=1))

    async with asyncio.TaskGroup() as group:
        taking = [group.create_task(take(store, rates, 1)) for _ in range(60)]
        # One attempt finds no bucket yet, and each removal spoils one more at most: with one less than these none is left.
        for _ in range(token_buckets._ATTEMPTS - 2):
            group.create_task(forget())
    assert [task.result().granted for task in taking] == [1] * 60


async def test_only_what_was_not_touched_since_then_is_forgotten(store: Store) -> None:
    await take(store, {new_id(): rate(10)}, 1)
    await shift_back(store, timedelta(days=2))
    await take(store, {new_id(): rate(20)}, 1)
    async with store.connection() as db:
        assert await token_buckets.delete_idle(db, datetime.now(UTC) - timedelta(days=1)) == 1
    assert await levels(store) == [19.0]
