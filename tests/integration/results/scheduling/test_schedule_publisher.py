"""Schedules in NATS are what the table says, whatever happens to NATS. On real servers."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from libs.bus import provisioning, subjects
from libs.bus.errors import BusError
from services.results.outbox_publisher import OutboxPublisher
from services.results.scheduling.schedule_publisher import SchedulePublisher
from tests.support.pipe import Pipe, flowing, last_tick, open_pipe, result
from tests.support.wait import eventually


@pytest.fixture
async def pipe(nats_url: str, postgres_dsn: str) -> AsyncIterator[Pipe]:
    async with open_pipe(nats_url, postgres_dsn) as pipe:
        yield pipe


def schedule_publisher(pipe: Pipe) -> SchedulePublisher:
    async def provision() -> None:
        await provisioning.provision(pipe.bus, results_bytes_max=pipe.settings.results_bytes_max)

    return SchedulePublisher(pipe.store, pipe.bus, pipe.clock, provision)


async def scheduled(pipe: Pipe) -> set[str]:
    """Returns the subjects of all schedules that NATS holds."""
    info = await pipe.bus.jetstream.stream_info(subjects.CHECKS, subjects_filter="sched.>")
    return set(info.state.subjects or {})


async def test_a_schedule_is_published_with_its_check(pipe: Pipe) -> None:
    monitor = await pipe.add(interval_s=300)
    await schedule_publisher(pipe).publish()
    stored = await pipe.bus.jetstream.get_last_msg(subjects.CHECKS, f"sched.0.local.{monitor.id}")
    check = msgspec.json.decode(stored.data or b"")
    assert (check["monitor_id"], check["interval_s"], check["revision"]) == (monitor.id, 300, 1)
    assert check["spec"]["url"] == "http://127.0.0.1/"
    assert (stored.headers or {})["Nats-Schedule-TTL"] == "300s"
    (row,) = await pipe.rows("SELECT * FROM schedules")
    assert row["published_version"] == row["version"] == 1
    assert row["since_at"] >= row["published_at"]


async def test_thousands_of_schedules_are_published_in_one_go(pipe: Pipe) -> None:
    monitor = await pipe.add()
    async with pipe.store.transaction() as db:
        await db.run(
            """WITH more AS (INSERT INTO monitors SELECT (gen_random_uuid()), tenant_id, kind, name, target, interval_s,
               timeout_s, locations, enabled, labels, spec, revision, created_at, updated_at, deleted_at
               FROM monitors, generate_series(1, 4999) RETURNING id)
               INSERT INTO schedules (monitor_id, location, active, shard, interval_s, phase_s, since_at)
               SELECT id, 'local', true, 0, 60, 7, now() FROM more"""
        )
    await schedule_publisher(pipe).publish()
    assert len(await scheduled(pipe)) == 5000
    assert f"sched.0.local.{monitor.id}" in await scheduled(pipe)
    assert await pipe.value("SELECT count(*) FROM schedules WHERE published_version <> version") == 0


async def test_a_lost_stream_is_made_again_and_filled(pipe: Pipe) -> None:
    for _ in range(10):
        await pipe.add()
    keep = schedule_publisher(pipe)
    await keep.check_stream()
    await keep.publish()
    assert not await keep.check_stream()
    await pipe.bus.jetstream.delete_stream(subjects.CHECKS)
    before = await pipe.rows("SELECT monitor_id, since_at FROM schedules ORDER BY monitor_id")
    pipe.clock.move(seconds=5)
    assert await keep.check_stream()
    await keep.publish()
    assert len(await scheduled(pipe)) == 10
    # The ticks that the loss has cost are still owed.
    assert await pipe.rows("SELECT monitor_id, since_at FROM schedules ORDER BY monitor_id") == before


async def test_a_deleted_monitor_stops_ticking_and_its_schedule_goes(pipe: Pipe) -> None:
    kept, deleted = await pipe.add(), await pipe.add()
    keep = schedule_publisher(pipe)
    await keep.publish()
    await pipe.remove(deleted)
    await keep.publish()

    async def only_one() -> bool:
        return await scheduled(pipe) == {f"sched.0.local.{kept.id}"}

    await eventually(only_one, within_s=10, what="the schedule is gone")
    assert await pipe.value("SELECT count(*) FROM schedules") == 1


async def test_pausing_and_resuming_before_the_keeper_came_by_leaves_one_schedule(pipe: Pipe) -> None:
    monitor = await pipe.add()
    await schedule_publisher(pipe).publish()
    await pipe.change(monitor, enabled=False)
    await pipe.change(monitor, enabled=True)
    pipe.clock.now = last_tick(monitor, pipe.clock()) + timedelta(seconds=30)
    await schedule_publisher(pipe).publish()
    assert await scheduled(pipe) == {f"sched.0.local.{monitor.id}"}
    (row,) = await pipe.rows("SELECT * FROM schedules")
    assert row["active"]
    assert row["published_version"] == row["version"]


async def test_a_change_waits_while_its_slot_is_near(pipe: Pipe) -> None:
    monitor = await pipe.add()
    await schedule_publisher(pipe).publish()
    await pipe.change(monitor, timeout_s=3.0)
    slot = last_tick(monitor, pipe.clock()) + timedelta(minutes=1)
    for offset_s, published in ((-2.0, 1), (-0.1, 1), (0.5, 1), (1.5, 2)):
        pipe.clock.now = slot + timedelta(seconds=offset_s)
        await schedule_publisher(pipe).publish()
        assert await pipe.value("SELECT published_version FROM schedules") == published


async def test_everything_is_published_again_after_an_hour_away_from_its_slot(pipe: Pipe) -> None:
    monitor = await pipe.add()
    await schedule_publisher(pipe).publish()
    before = await pipe.value("SELECT published_at FROM schedules")
    slot = last_tick(monitor, pipe.clock() + timedelta(hours=2))
    pipe.clock.now = slot + timedelta(seconds=5)
    await schedule_publisher(pipe).publish()
    assert await pipe.value("SELECT published_at FROM schedules") == before
    pipe.clock.now = slot + timedelta(seconds=30)
    await schedule_publisher(pipe).publish()
    assert await pipe.value("SELECT published_at FROM schedules") == pipe.clock()


async def test_what_the_bus_refuses_stays_in_the_outbox_and_blocks_nothing(pipe: Pipe) -> None:
    await pipe.add()  # its first check waits in the outbox
    await pipe.bus.jetstream.delete_stream(subjects.CHECKS)
    async with pipe.store.transaction() as db:
        await db.run("INSERT INTO outbox (subject, msg_id, headers, body) VALUES ('events.a.b.c', 'e', '{}', 'x')")
    relay = OutboxPublisher(pipe.store, pipe.bus)
    with pytest.raises(TimeoutError, match="1 message"):
        await relay.publish()
    assert await pipe.stored(subjects.EVENTS) == 1
    assert await pipe.value("SELECT count(*) FROM outbox") == 1
    await provisioning.provision(pipe.bus, results_bytes_max=pipe.settings.results_bytes_max)
    await relay.publish()
    assert await pipe.value("SELECT count(*) FROM outbox") == 0


async def test_a_wiped_disk_of_nats_is_filled_again_while_everything_runs(nats_server: Any, postgres_dsn: str) -> None:
    async with open_pipe(nats_server.url, postgres_dsn) as pipe:
        monitors = [await pipe.add() for _ in range(5)]
        async with flowing(pipe):

            async def all_scheduled() -> bool:
                try:
                    return len(await scheduled(pipe)) == len(monitors)
                except Exception:  # noqa: BLE001 - the server is coming up
                    return False

            await eventually(all_scheduled, within_s=10, what="schedules are there")
            nats_server.kill()
            nats_server.wipe()
            nats_server.start()
            await eventually(all_scheduled, within_s=40, what="schedules are there again")

            async def ingested() -> bool:
                try:
                    await pipe.publish([result(monitors[0], last_tick(monitors[0], pipe.clock()))])
                except (AssertionError, BusError):
                    return False
                return bool(await pipe.value("SELECT count(*) FROM results WHERE status = 'up'"))

            await eventually(ingested, within_s=30, what="a result is stored again", every_s=0.5)
