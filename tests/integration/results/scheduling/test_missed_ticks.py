"""Every tick ends as one result or one recorded `missed`, on real servers."""

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from libs.model.interval import INTERVALS_S, ticks_between
from libs.model.outcome import Status
from libs.store.ingest import gaps
from libs.store.ingest.gaps import Gap
from services.results.ingest.partitions import PartitionManager
from services.results.scheduling.missed_ticks import MissedTickRecorder, days_covered, take_ticks
from tests.support.pipe import Pipe, flowing, last_tick, message, open_pipe, result

MINUTE = timedelta(minutes=1)
MISSED = "SELECT tick_at, status FROM results WHERE monitor_id = $1 ORDER BY tick_at"


@pytest.fixture
async def pipe(nats_url: str, postgres_dsn: str) -> AsyncIterator[Pipe]:
    async with open_pipe(nats_url, postgres_dsn) as pipe:
        yield pipe


def missed_tick_recorder(pipe: Pipe) -> MissedTickRecorder:
    return MissedTickRecorder(
        pipe.store, pipe.bus, pipe.clock, PartitionManager(pipe.store, pipe.clock, 14), margin_s=0
    )


async def record_all_missed(pipe: Pipe) -> None:
    work = missed_tick_recorder(pipe).record
    while await work():
        pass


async def test_the_grid_in_sql_is_the_grid_of_the_schedules(pipe: Pipe) -> None:
    monitor = await pipe.add()
    pick = random.Random(2)
    end = datetime(2026, 3, 2, tzinfo=UTC)
    for interval_s in INTERVALS_S:
        phase_s = pick.randrange(interval_s)
        after = end - timedelta(seconds=interval_s * 7, microseconds=pick.choice([0, 1, 999_999]))
        until = end + timedelta(seconds=pick.randrange(2 * interval_s))
        gap = Gap(
            monitor_id=monitor.id,
            location="local",
            revision=1,
            interval_s=interval_s,
            phase_s=phase_s,
            after_at=after,
            until_at=until,
        )
        await PartitionManager(pipe.store, pipe.clock, 400).ensure(days_covered([gap]))
        async with pipe.store.transaction() as db:
            await db.run("DELETE FROM results")
            count = await gaps.record_missed(db, [gap], end)
        rows = await pipe.rows(MISSED, monitor.id)
        expected = list(ticks_between(after, until, interval_s, phase_s))
        assert [row["tick_at"] for row in rows] == expected
        assert count == len(expected)


async def test_a_silent_schedule_misses_its_ticks_and_is_published_again(pipe: Pipe) -> None:
    monitor = await pipe.add()
    async with pipe.store.transaction() as db:
        await db.run("UPDATE schedules SET published_version = version, published_at = $1", pipe.clock())
    start = pipe.clock()
    pipe.clock.move(minutes=10)
    await record_all_missed(pipe)
    rows = await pipe.rows(MISSED, monitor.id)
    last = last_tick(monitor, pipe.clock() - MINUTE)
    assert [row["tick_at"] for row in rows] == list(ticks_between(start, last, 60, int(last.timestamp()) % 60))
    assert {row["status"] for row in rows} == {"missed"}
    (fold,) = await pipe.rows("SELECT * FROM confirmations")
    assert (fold["ticked_at"], fold["last_tick_at"], fold["status"]) == (last, last, "pending")
    assert await pipe.value("SELECT version FROM schedules") == 2
    await record_all_missed(pipe)
    assert await pipe.value("SELECT count(*) FROM results") == len(rows)


async def test_a_monitor_that_ticks_is_not_called_silent(pipe: Pipe) -> None:
    monitor = await pipe.add()
    first = last_tick(monitor, pipe.clock()) + MINUTE
    async with flowing(pipe):
        await pipe.publish([result(monitor, first), result(monitor, first + MINUTE)])
        await pipe.ingested()
    pipe.clock.now = first + 2 * MINUTE
    await record_all_missed(pipe)
    assert {row["status"] for row in await pipe.rows(MISSED, monitor.id)} == {"up"}


async def test_nothing_is_missed_while_results_wait_in_the_stream(pipe: Pipe) -> None:
    monitor = await pipe.add()
    first = last_tick(monitor, pipe.clock()) + MINUTE
    await pipe.publish([result(monitor, first + minute * MINUTE) for minute in range(60)])
    pipe.clock.move(hours=1)  # the results room was away for an hour, and has not taken in anything yet
    await record_all_missed(pipe)
    assert await pipe.value("SELECT count(*) FROM results") == 0
    async with flowing(pipe):
        await pipe.ingested()
    await record_all_missed(pipe)
    assert {row["status"] for row in await pipe.rows(MISSED, monitor.id)} == {"up"}


async def test_skipped_ticks_become_missed_and_the_others_stay(pipe: Pipe) -> None:
    monitor = await pipe.add()
    first = last_tick(monitor, pipe.clock()) + MINUTE
    async with flowing(pipe):
        await pipe.publish([result(monitor, first + minute * MINUTE) for minute in (0, 1, 4, 5, 9)])
        await pipe.ingested()
        pipe.clock.now = first + 12 * MINUTE + timedelta(seconds=1)
    await record_all_missed(pipe)
    statuses = [row["status"] for row in await pipe.rows(MISSED, monitor.id)]
    assert statuses[:10] == ["up", "up", "missed", "missed", "up", "up", "missed", "missed", "missed", "up"]
    assert await pipe.value("SELECT count(*) FROM gaps") == 0


async def test_a_result_that_comes_after_all_replaces_its_missed_row(pipe: Pipe) -> None:
    monitor = await pipe.add()
    first = last_tick(monitor, pipe.clock()) + MINUTE
    pipe.clock.now = first + 5 * MINUTE
    await record_all_missed(pipe)
    async with flowing(pipe):
        late = [result(monitor, first + minute * MINUTE, Status.DOWN) for minute in range(3)]
        await pipe.publish(late)
        await pipe.ingested()
        await pipe.bus.publish(message(result(monitor, first, Status.MISSED, reason="late"), identity="again"))
        await pipe.ingested()
    statuses = [row["status"] for row in await pipe.rows(MISSED, monitor.id)]
    assert statuses == ["down", "down", "down", "missed", "missed"]
    assert await pipe.state(monitor) == "down"
    assert await pipe.value("SELECT count(*) FROM incidents") == 1


async def test_an_edit_of_the_interval_owes_the_old_ticks_up_to_the_edit(pipe: Pipe) -> None:
    monitor = await pipe.add(interval_s=60)
    start = pipe.clock()
    pipe.clock.move(minutes=3)
    edited_at = pipe.clock()
    await pipe.change(monitor, interval_s=300)
    pipe.clock.move(minutes=25)
    await record_all_missed(pipe)
    rows = await pipe.rows("SELECT tick_at, interval_s FROM results ORDER BY tick_at")
    old = [row["tick_at"] for row in rows if row["interval_s"] == 60]
    assert old == list(ticks_between(start, edited_at, 60, int(last_tick(monitor, start).timestamp()) % 60))
    assert all(row["tick_at"] > edited_at for row in rows if row["interval_s"] == 300)
    assert sum(row["interval_s"] == 300 for row in rows) in (4, 5)


async def test_an_outage_of_days_is_accounted_for_in_parts(pipe: Pipe) -> None:
    monitor = await pipe.add(interval_s=10)
    start = pipe.clock()
    pipe.clock.move(days=3)
    await record_all_missed(pipe)
    last = last_tick(monitor, pipe.clock() - timedelta(seconds=10))
    expected = list(ticks_between(start, last, 10, int(last.timestamp()) % 10))
    assert await pipe.value("SELECT count(*) FROM results WHERE status = 'missed'") == len(expected)


async def test_ticks_of_days_that_are_over_are_left_out(pipe: Pipe) -> None:
    await pipe.add(interval_s=300)
    pipe.clock.move(days=30)
    await record_all_missed(pipe)
    oldest = await pipe.value("SELECT min(tick_at) FROM results")
    assert oldest.date() == (pipe.clock() - timedelta(days=14)).date()


async def test_a_paused_monitor_misses_nothing(pipe: Pipe) -> None:
    monitor = await pipe.add()
    await pipe.change(monitor, enabled=False)
    pipe.clock.move(hours=2)
    await record_all_missed(pipe)
    assert await pipe.value("SELECT count(*) FROM results") == 0


def test_a_pass_takes_a_bounded_number_of_ticks() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    gap = Gap(
        monitor_id="m",
        location="l",
        revision=1,
        interval_s=60,
        phase_s=7,
        after_at=start,
        until_at=start + timedelta(days=1),
    )
    (part,) = take_ticks([gap, gap], 100)
    assert len(list(ticks_between(part.after_at, part.until_at, 60, 7))) == 100
    assert take_ticks([gap], 2000) == [gap]
    assert days_covered([gap]) == {start.date(), (start + timedelta(days=1)).date()}
