"""Rollups, days that come and go, tombstones. On a real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from libs.model.check import Result
from libs.model.ids import new_id
from libs.model.monitor import MonitorView
from libs.model.outcome import Status
from libs.model.tenancy import Rate
from libs.store.core.locks import AdvisoryLock, session_lock
from libs.store.ingest import partitions
from libs.store.monitors import assets
from libs.store.tenancy import token_buckets
from services.results.ingest.batch_transaction import store_batch
from services.results.ingest.partitions import PartitionManager
from services.results.rollups.engine import SETTLE_TIME, RollupEngine
from services.results.rollups.retention import Retention
from tests.support.pipe import TENANT, Pipe, last_tick, open_pipe, result
from tests.support.room import somebody_waits

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture
async def pipe(nats_url: str, postgres_dsn: str) -> AsyncIterator[Pipe]:
    async with open_pipe(nats_url, postgres_dsn) as pipe:
        today = pipe.clock().replace(hour=0, minute=0, second=0, microsecond=0)
        pipe.clock.now = today + timedelta(hours=9, minutes=1)
        await partition_manager(pipe).create_ahead()
        yield pipe


def partition_manager(pipe: Pipe, keep_days: int = 14) -> PartitionManager:
    return PartitionManager(pipe.store, pipe.clock, keep_days)


def rollup_engine(pipe: Pipe) -> RollupEngine:
    return RollupEngine(pipe.store, pipe.clock, hourly_keep_days=120, daily_keep_days=1830)


async def store(pipe: Pipe, results: list[Result]) -> None:
    async with pipe.store.transaction() as db:
        await store_batch(db, results, pipe.clock())


async def roll_up_all(pipe: Pipe) -> None:
    while await rollup_engine(pipe).roll_up():
        pass
    while await rollup_engine(pipe).roll_up_late():
        pass


async def hourly(pipe: Pipe, at: datetime) -> dict[str, int]:
    (row,) = await pipe.rows("SELECT * FROM rollups_hourly WHERE at = $1", at)
    return {key: row[key] for key in ("up_s", "down_s", "unknown_s", "missed_s", "checks")}


async def test_an_hour_is_rolled_up_once_it_has_settled(pipe: Pipe) -> None:
    monitor = await pipe.add()
    await roll_up_all(pipe)  # the first hour that counts is the present one
    hour = pipe.clock().replace(minute=0)
    first = last_tick(monitor, hour) + MINUTE
    statuses = [Status.UP] * 50 + [Status.DOWN] * 6 + [Status.UNKNOWN] * 4
    await store(pipe, [result(monitor, first + n * MINUTE, status) for n, status in enumerate(statuses)])
    pipe.clock.now = hour + HOUR + SETTLE_TIME - MINUTE
    await roll_up_all(pipe)
    assert await pipe.value("SELECT count(*) FROM rollups_hourly") == 0
    pipe.clock.now = hour + HOUR + SETTLE_TIME
    await roll_up_all(pipe)
    head_s = int((first - hour).total_seconds())
    rolled = await hourly(pipe, hour)
    assert rolled == {"up_s": 3000, "down_s": 360, "unknown_s": 240 - head_s, "missed_s": 0, "checks": 60}


async def test_a_row_that_comes_late_rolls_its_hour_up_again(pipe: Pipe) -> None:
    monitor = await pipe.add()
    await roll_up_all(pipe)
    hour = pipe.clock().replace(minute=0)
    first = last_tick(monitor, hour) + MINUTE
    await store(pipe, [result(monitor, first + n * MINUTE) for n in range(30)])
    pipe.clock.now = hour + 2 * HOUR + SETTLE_TIME
    await roll_up_all(pipe)
    assert (await hourly(pipe, hour))["up_s"] == 1800
    await store(pipe, [result(monitor, first + n * MINUTE, Status.DOWN) for n in range(30, 40)])
    assert await pipe.value("SELECT count(*) FROM rollups_stale") == 1
    await roll_up_all(pipe)
    await roll_up_all(pipe)
    assert await hourly(pipe, hour) == {"up_s": 1800, "down_s": 600, "unknown_s": 0, "missed_s": 0, "checks": 40}
    assert await pipe.value("SELECT count(*) FROM rollups_stale") == 0


async def test_a_tick_that_reaches_into_the_next_hours_counts_in_each(pipe: Pipe) -> None:
    monitor = await pipe.add(interval_s=4 * 3600, timeout_s=5.0)
    await roll_up_all(pipe)
    hour = pipe.clock().replace(minute=0)
    await store(pipe, [result(monitor, hour + 20 * MINUTE)])
    pipe.clock.now = hour + 6 * HOUR
    await roll_up_all(pipe)
    rows = await pipe.rows("SELECT up_s, checks FROM rollups_hourly ORDER BY at")
    assert [(row["up_s"], row["checks"]) for row in rows] == [(2400, 1), (3600, 0), (3600, 0), (3600, 0), (1200, 0)]


async def test_a_day_is_the_sum_of_its_hours(pipe: Pipe) -> None:
    monitor = await pipe.add(interval_s=600)
    await roll_up_all(pipe)
    midnight = pipe.clock().replace(hour=0, minute=0)
    first = last_tick(monitor, pipe.clock()) + 10 * MINUTE
    count = int((midnight + DAY - first).total_seconds()) // 600
    await store(pipe, [result(monitor, first + n * 10 * MINUTE) for n in range(count)])
    pipe.clock.now = midnight + DAY + SETTLE_TIME - MINUTE
    await roll_up_all(pipe)
    assert await pipe.value("SELECT count(*) FROM rollups_daily") == 0
    pipe.clock.now = midnight + DAY + SETTLE_TIME
    await roll_up_all(pipe)
    (day,) = await pipe.rows("SELECT * FROM rollups_daily")
    assert (day["at"], day["up_s"], day["checks"]) == (midnight, count * 600, count)
    await store(pipe, [result(monitor, first - 10 * MINUTE, Status.DOWN)])
    await roll_up_all(pipe)
    (day,) = await pipe.rows("SELECT * FROM rollups_daily")
    assert (day["up_s"], day["down_s"]) == (count * 600, 600)


async def test_days_are_made_ahead_and_dropped_when_they_are_over(pipe: Pipe) -> None:
    monitor = await pipe.add()
    at = last_tick(monitor, pipe.clock())
    await store(pipe, [result(monitor, at)])
    keep = partition_manager(pipe, 3)
    retention = Retention(pipe.store, pipe.clock, keep, 365)
    for _ in range(5):
        pipe.clock.move(days=1)
        await retention.remove_expired()
    async with pipe.store.connection() as db:
        there = await partitions.list_days(db)
    today = pipe.clock().date()
    assert there == {today + timedelta(days=offset) for offset in range(-3, 3)}
    assert await pipe.value("SELECT count(*) FROM results") == 0


async def test_a_day_whose_dropping_was_interrupted_is_dropped_all_the_same(pipe: Pipe) -> None:
    old = pipe.clock().date() - timedelta(days=30)
    async with pipe.store.transaction() as db:
        await partitions.create(db, [old])
    async with pipe.store.connection() as db:
        await db.script(f"ALTER TABLE results DETACH PARTITION results_{old:%Y%m%d}")
        assert await partition_manager(pipe).drop_old(db) == [old]
        assert await partition_manager(pipe).drop_old(db) == []


async def test_entries_of_the_audit_go_when_their_days_are_over(pipe: Pipe) -> None:
    retention = Retention(pipe.store, pipe.clock, partition_manager(pipe), 30)
    await pipe.add()
    pipe.clock.move(days=20)
    await pipe.add()
    for moved, left in ((10, 2), (1, 1), (20, 0)):
        pipe.clock.move(days=moved)
        await retention.remove_expired()
        assert await pipe.value("SELECT count(*) FROM audit") == left


async def test_two_processes_do_not_drop_the_same_days(pipe: Pipe) -> None:
    today = pipe.clock().date()
    async with pipe.store.transaction() as db:
        await partitions.create(db, [today - timedelta(days=offset) for offset in range(4, 12)])
    both = [Retention(pipe.store, pipe.clock, partition_manager(pipe, 3), 365) for _ in range(2)]
    async with asyncio.TaskGroup() as group:
        for each in both:
            group.create_task(each.remove_expired())
    async with pipe.store.connection() as db:
        assert min(await partitions.list_days(db)) >= today - timedelta(days=3)


async def test_who_comes_second_leaves_the_removing_to_the_first_one(pipe: Pipe) -> None:
    old = pipe.clock().date() - timedelta(days=30)
    async with pipe.store.transaction() as db:
        await partitions.create(db, [old])
    retention = Retention(pipe.store, pipe.clock, partition_manager(pipe), 365)
    async with pipe.store.connection() as db:
        async with session_lock(db, AdvisoryLock.RETENTION) as held:
            assert held
            assert not await retention.remove_expired()
            assert old in await partitions.list_days(db)
        await retention.remove_expired()
        assert old not in await partitions.list_days(db)


async def test_a_deleted_monitor_is_removed_with_its_last_results(pipe: Pipe) -> None:
    monitor, kept = await pipe.add(), await pipe.add()
    await store(pipe, [result(each, last_tick(each, pipe.clock())) for each in (monitor, kept)])
    await pipe.remove(monitor)
    retention = Retention(pipe.store, pipe.clock, partition_manager(pipe), 365)
    await retention.remove_expired()
    assert await pipe.value("SELECT count(*) FROM monitors") == 2
    pipe.clock.move(days=16)
    await retention.remove_expired()
    assert await pipe.value("SELECT count(*) FROM monitors") == 2  # NATS may still have its schedule
    async with pipe.store.transaction() as db:
        await db.run("DELETE FROM schedules WHERE NOT active")
    await retention.remove_expired()
    assert await pipe.value("SELECT id FROM monitors") == kept.id


async def delete_monitor(pipe: Pipe, monitor: MonitorView) -> None:
    """Deletes a monitor whose schedule is cancelled at once."""
    await pipe.remove(monitor)
    async with pipe.store.connection() as db:
        await db.run("DELETE FROM schedules WHERE monitor_id = $1", monitor.id)


_ASSET = """
INSERT INTO assets (id, tenant_id, dialect, type, number, identity, fields, created_at, updated_at)
VALUES ($1, $1, 'd', 's', 1, 'i', '{}', now(), now())
"""


async def test_parts_of_an_asset_are_removed_in_the_order_of_their_monitors(pipe: Pipe) -> None:
    """So does whoever deletes the asset: neither holds what the other one is about to wait for."""
    first, last = sorted([await pipe.add(), await pipe.add()], key=lambda monitor: monitor.id)
    async with pipe.store.connection() as db:
        await db.run(_ASSET, TENANT)
        await assets.add_parts(db, TENANT, {"a": last.id, "b": first.id})
    await delete_monitor(pipe, last)
    await delete_monitor(pipe, first)
    pipe.clock.move(days=16)
    async with asyncio.TaskGroup() as group, pipe.store.transaction() as db:
        await db.run("SELECT FROM asset_parts WHERE monitor_id = $1 FOR UPDATE", first.id)
        group.create_task(Retention(pipe.store, pipe.clock, partition_manager(pipe), 365).remove_expired())
        await somebody_waits(pipe.store)
        await db.run("SELECT FROM asset_parts WHERE monitor_id = $1 FOR UPDATE NOWAIT", last.id)
    assert await pipe.rows("SELECT FROM monitors") == []


async def test_nobody_waits_for_what_retention_has_removed_while_it_removes_more(pipe: Pipe) -> None:
    monitor, rates = await pipe.add(), {new_id(): Rate(per_s=1, burst=5)}
    await delete_monitor(pipe, monitor)
    async with asyncio.TaskGroup() as group, pipe.store.transaction() as db, pipe.store.connection() as other:
        await token_buckets.take(other, rates, 1, 0)
        pipe.clock.move(days=16)
        await db.run("SELECT FROM monitors FOR UPDATE")
        group.create_task(Retention(pipe.store, pipe.clock, partition_manager(pipe), 365).remove_expired())
        await somebody_waits(pipe.store)
        async with asyncio.timeout(5):
            assert (await token_buckets.take(other, rates, 1, 0)).left == 4


async def test_buckets_that_nobody_took_from_for_a_day_are_removed(pipe: Pipe) -> None:
    retention = Retention(pipe.store, pipe.clock, partition_manager(pipe), 365)
    async with pipe.store.connection() as db:
        await token_buckets.take(db, {new_id(): Rate(per_s=1, burst=5)}, 1, 0)
        await db.run("UPDATE token_buckets SET at = $1", pipe.clock())
    pipe.clock.move(hours=23)
    await retention.remove_expired()
    assert await pipe.value("SELECT count(*) FROM token_buckets") == 1
    pipe.clock.move(hours=2)
    await retention.remove_expired()
    assert await pipe.value("SELECT count(*) FROM token_buckets") == 0


async def test_the_window_of_kept_days_is_whole_days(pipe: Pipe) -> None:
    pipe.clock.now = datetime(2026, 5, 20, 23, 59, tzinfo=UTC)
    assert partition_manager(pipe, 2).storable_window() == (
        datetime(2026, 5, 18, tzinfo=UTC),
        datetime(2026, 5, 22, tzinfo=UTC),
    )
