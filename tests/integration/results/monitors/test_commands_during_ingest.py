"""Commands and the ingest of results at the same time: nobody waits for ever, and no verdict is on a former revision."""

import asyncio
from datetime import timedelta

import pytest

from libs.model.monitor import MonitorView
from libs.model.outcome import Status
from libs.model.requests.messages import DeleteMonitor, GetUptime
from libs.store.core import locks
from libs.store.ingest import rollups
from libs.store.ingest.rollups import MonitorHour
from libs.store.monitors import schedules
from libs.store.monitors.schedules import ScheduleRow
from tests.support.room import Room, somebody_waits

ROUNDS = 15

_FOLD = "UPDATE confirmations SET up_run = up_run + 1 WHERE monitor_id = ANY($1::uuid[])"

_LOCK = "SELECT FROM schedules WHERE monitor_id = $1 FOR UPDATE"


@pytest.fixture
async def views(room: Room) -> list[MonitorView]:
    return [await room.create(locations=["a", "b"]) for _ in range(4)]


async def test_a_change_waits_for_the_batch_that_is_being_folded(room: Room, views: list[MonitorView]) -> None:
    ids = [view.id for view in views]
    async with asyncio.TaskGroup() as group:
        async with room.store.transaction() as db:
            await locks.acquire(db, locks.AdvisoryLock.MONITOR_STATE)
            await db.run(_FOLD, ids)
            change = group.create_task(room.change(ids[0], interval_s=30))
            renamed = await room.change(ids[1], name="at once")
            assert renamed.name == "at once"
            assert not change.done()
        assert (await change).revision == 2


async def test_commands_and_batches_in_any_order_never_wait_for_each_other(
    room: Room, views: list[MonitorView]
) -> None:
    ids = [view.id for view in views]

    async def fold_batches() -> None:
        for _ in range(ROUNDS):
            async with room.store.transaction() as db:
                await locks.acquire(db, locks.AdvisoryLock.MONITOR_STATE)
                await db.run(_FOLD, ids)
                await db.run("UPDATE states SET reason = 'seen' WHERE monitor_id = ANY($1::uuid[])", ids[::-1])

    async def command(monitor_id: str) -> None:
        for number in range(ROUNDS):
            await room.change(monitor_id, enabled=bool(number % 2), locations=["a"] if number % 3 else ["b", "a"])
        await room.ask(DeleteMonitor(tenant_id=room.tenant_id, monitor_id=monitor_id))

    async with asyncio.timeout(50), asyncio.TaskGroup() as group:
        group.create_task(fold_batches())
        group.create_task(fold_batches())
        for monitor_id in ids:
            group.create_task(command(monitor_id))
            group.create_task(room.create())
    assert len(await room.rows("SELECT FROM monitors WHERE deleted_at IS NULL")) == len(ids)
    assert (
        await room.rows("SELECT FROM schedules JOIN monitors ON id = monitor_id WHERE deleted_at < now() AND active")
        == []
    )


async def test_the_keeper_takes_schedules_in_the_order_in_which_commands_take_them(
    room: Room, views: list[MonitorView]
) -> None:
    """Whoever deletes several monitors at once holds up the ingest: he must not wait for one who waits for him."""
    first, *_, last = sorted(view.id for view in views)
    await room.rows("UPDATE schedules SET shard = shard WHERE monitor_id = $1 RETURNING shard", first)
    async with asyncio.TaskGroup() as group, room.store.transaction() as db:
        present = await schedules.page_unpublished(db, room.clock(), None, 100)
        await db.run(_LOCK, first)
        group.create_task(note_published(room, present[::-1]))
        await somebody_waits(room.store)
        await db.run(f"{_LOCK} NOWAIT", last)
    assert await room.rows("SELECT FROM schedules WHERE published_version <> version") == []


async def note_published(room: Room, scheduled: list[ScheduleRow]) -> None:
    async with room.store.transaction() as db:
        await schedules.set_published(db, scheduled, room.clock())


async def test_uptime_read_from_rollups_is_that_of_single_ticks(room: Room) -> None:
    """Both ways of reading the same time agree, across hours that are rolled up and the hour that is not."""
    view = await room.create()
    hour_at = room.clock.now.replace(minute=0, second=0) - timedelta(hours=3)
    for minute in range(0, 180, 7):
        status = list(Status)[minute % 5]
        await room.add_result(view.id, hour_at + timedelta(minutes=minute, seconds=31), status)
    window = {"from_at": hour_at + timedelta(minutes=20), "to_at": room.clock.now}
    request = GetUptime(tenant_id=room.tenant_id, monitor_id=view.id, **window)
    single = await room.ask(request)
    async with room.store.transaction() as db:
        await rollups.roll_up_hours(db, [MonitorHour(view.id, hour_at + timedelta(hours=hour)) for hour in range(3)])
    assert len(await room.rows("SELECT FROM rollups_hourly")) == 3
    assert await room.ask(request) == single
