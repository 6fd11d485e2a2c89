"""Results on their way into Postgres, on real servers."""

from collections.abc import AsyncIterator
from datetime import timedelta

import msgspec
import pytest

from libs.bus import subjects
from libs.bus.client.message import Message
from libs.model.check import Origin
from libs.model.outcome import Status
from libs.model.state import Event, EventType
from tests.support.pipe import TENANT, Pipe, flowing, last_tick, message, open_pipe, result
from tests.support.servers import NatsServer, PostgresServer
from tests.support.wait import eventually

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def pipe(nats_url: str, postgres_dsn: str) -> AsyncIterator[Pipe]:
    async with open_pipe(nats_url, postgres_dsn) as pipe:
        yield pipe


async def test_results_are_stored_folded_and_acknowledged(pipe: Pipe) -> None:
    monitors = [await pipe.add() for _ in range(20)]
    async with flowing(pipe):
        ticks = [result(each, last_tick(each, pipe.clock())) for each in monitors]
        await pipe.publish(ticks)
        await pipe.ingested()
        rows = await pipe.rows("SELECT * FROM results ORDER BY monitor_id")
        assert [row["monitor_id"] for row in rows] == sorted(each.id for each in monitors)
        assert msgspec.json.decode(rows[0]["hops"])[0]["facts"] == {"status": 200}
        assert {await pipe.state(each) for each in monitors} == {"up"}
        confirmations = await pipe.rows("SELECT * FROM confirmations")
        assert all(row["ticked_at"] == row["folded_at"] == row["last_tick_at"] is not None for row in confirmations)


async def test_a_repeated_result_counts_once(pipe: Pipe) -> None:
    monitor = await pipe.add()
    at = last_tick(monitor, pipe.clock())
    failed = [result(monitor, at - MINUTE, Status.DOWN), result(monitor, at, Status.DOWN)]
    async with flowing(pipe):
        for attempt in range(3):
            for each in failed:
                await pipe.bus.publish(message(each, identity=f"{attempt}-{each.tick_at}"))
            await pipe.ingested()
        assert await pipe.value("SELECT count(*) FROM results") == 2
        assert await pipe.value("SELECT count(*) FROM incidents") == 1
        assert await pipe.value("SELECT count(*) FROM transitions") == 1
        assert await pipe.state(monitor) == "down"


async def test_a_late_result_is_stored_and_moves_nothing(pipe: Pipe) -> None:
    monitor = await pipe.add()
    at = last_tick(monitor, pipe.clock())
    async with flowing(pipe):
        await pipe.publish([result(monitor, at)])
        await pipe.ingested()
        await pipe.publish([result(monitor, at - 2 * MINUTE, Status.DOWN), result(monitor, at - MINUTE, Status.DOWN)])
        await pipe.ingested()
        assert await pipe.value("SELECT count(*) FROM results") == 3
        assert await pipe.state(monitor) == "up"
        assert await pipe.value("SELECT last_tick_at FROM confirmations") == at


async def test_down_and_up_again_is_one_incident_and_four_events(pipe: Pipe) -> None:
    monitor = await pipe.add()
    at = last_tick(monitor, pipe.clock()) + 10 * MINUTE  # a state never begins before its monitor
    async with flowing(pipe):
        await pipe.publish([result(monitor, at - 3 * MINUTE)])
        await pipe.ingested()
        # Down and up again in one batch.
        story = [(2, Status.DOWN), (1, Status.DOWN), (0, Status.UP)]
        await pipe.publish([result(monitor, at - ago * MINUTE, status) for ago, status in story])
        await pipe.ingested()
        (incident,) = await pipe.rows("SELECT * FROM incidents")
        assert (incident["opened_at"], incident["closed_at"]) == (at - MINUTE, at)
        (state,) = await pipe.rows("SELECT * FROM states")
        assert (state["status"], state["since_at"], state["incident_id"]) == ("up", at, None)
        events = await _events(pipe, 5)
        assert [(each.type, each.transition.new) for each in events] == [
            (EventType.TRANSITION, "up"),
            (EventType.TRANSITION, "down"),
            (EventType.INCIDENT_OPENED, "down"),
            (EventType.TRANSITION, "up"),
            (EventType.INCIDENT_CLOSED, "up"),
        ]
        assert {each.transition.incident_id for each in events[1:]} == {incident["id"]}
        assert events[0].monitor_name == monitor.name


async def test_a_first_failure_asks_for_a_second_look(pipe: Pipe) -> None:
    monitor = await pipe.add(interval_s=10)
    at = last_tick(monitor, pipe.clock())
    async with flowing(pipe):
        await pipe.publish([result(monitor, at, Status.DOWN)])

        async def due() -> bytes | None:
            subject = subjects.recheck_due(0, "local", "http", monitor.id)
            state = (await pipe.bus.jetstream.stream_info(subjects.CHECKS, subjects_filter=subject)).state
            if not (state.subjects or {}).get(subject):
                return None
            return (await pipe.bus.jetstream.get_last_msg(subjects.CHECKS, subject)).data

        check = msgspec.json.decode(await eventually(due, within_s=15, what="the second look falls due"))
        assert check["origin"] == "recheck"
        assert check["spec"]["kind"] == "http"


async def test_what_an_old_revision_found_is_stored_and_moves_nothing(pipe: Pipe) -> None:
    monitor = await pipe.add()
    at = last_tick(monitor, pipe.clock())
    await pipe.change(monitor, timeout_s=3.0)
    async with flowing(pipe):
        await pipe.publish([result(monitor, at - MINUTE, Status.DOWN), result(monitor, at, Status.DOWN)])
        await pipe.ingested()
        assert await pipe.value("SELECT count(*) FROM results") == 2
        assert await pipe.state(monitor) == "pending"
        assert await pipe.value("SELECT last_tick_at FROM confirmations") == at


async def test_a_paused_monitor_stays_as_it_is_while_a_check_is_in_flight(pipe: Pipe) -> None:
    monitor = await pipe.add()
    paused = await pipe.change(monitor, enabled=False)
    at = last_tick(monitor, pipe.clock())
    async with flowing(pipe):
        await pipe.publish([result(monitor, at)])
        await pipe.publish([result(paused, at + MINUTE, origin=Origin.MANUAL)])
        await pipe.ingested()
        assert await pipe.state(monitor) == "pending"


async def test_results_of_deleted_monitors_are_dropped_and_of_other_tenants_set_aside(pipe: Pipe) -> None:
    kept, deleted = await pipe.add(), await pipe.add()
    await pipe.remove(deleted)
    at = last_tick(kept, pipe.clock())
    other_tenant = TENANT.replace("1", "2")
    async with flowing(pipe):
        await pipe.publish([result(deleted, at), result(kept, at, tenant_id=other_tenant), result(kept, at - MINUTE)])
        await pipe.ingested()
        assert [row["tick_at"] for row in await pipe.rows("SELECT tick_at FROM results")] == [at - MINUTE]
        assert await pipe.stored(subjects.DEAD_LETTERS) == 1


async def test_poison_is_found_by_halving_and_set_aside_with_its_reason(pipe: Pipe) -> None:
    monitors = [await pipe.add() for _ in range(60)]
    at = {each.id: last_tick(each, pipe.clock()) for each in monitors}
    good = [result(each, at[each.id]) for each in monitors]
    bad = [
        result(monitors[3], at[monitors[3].id] - MINUTE, detail="a\x00b"),
        result(monitors[4], at[monitors[4].id] - MINUTE, interval_s=1 << 40),
        result(monitors[5], at[monitors[5].id] - timedelta(days=400)),
        result(monitors[6], at[monitors[6].id] - MINUTE, monitor_id="no-id"),
    ]
    async with flowing(pipe):
        await pipe.publish(good[:30] + bad + good[30:])
        await pipe.bus.publish(Message("results.x.local.http.y", b'{"monitor_id":'))
        await pipe.ingested()
        assert await pipe.value("SELECT count(*) FROM results") == len(good)
        assert await pipe.stored(subjects.DEAD_LETTERS) == len(bad) + 1
        aside = await pipe.bus.jetstream.get_last_msg(subjects.DEAD_LETTERS, "dead_letters.RESULTS")
        assert aside.headers
        assert aside.headers["Vedette-Reason"]


async def test_skipped_ticks_leave_a_gap(pipe: Pipe) -> None:
    monitor = await pipe.add()
    first = last_tick(monitor, pipe.clock()) + MINUTE
    async with flowing(pipe):
        await pipe.publish([result(monitor, first + minutes * MINUTE) for minutes in (0, 1, 9)])
        await pipe.ingested()
        (gap,) = await pipe.rows("SELECT * FROM gaps")
        assert (gap["after_at"], gap["until_at"]) == (first + MINUTE, first + 9 * MINUTE)


async def test_nothing_is_lost_or_doubled_when_postgres_is_killed(
    nats_url: str, own_postgres_server: PostgresServer
) -> None:
    async with open_pipe(nats_url, own_postgres_server.new_database()) as pipe:
        monitors = [await pipe.add() for _ in range(50)]
        ticks = [
            result(each, last_tick(each, pipe.clock()) - minute * MINUTE, Status.DOWN if minute < 2 else Status.UP)
            for minute in range(19, -1, -1)
            for each in monitors
        ]
        async with flowing(pipe):
            await pipe.publish(ticks[:400])
            own_postgres_server.kill()
            await pipe.publish(ticks[400:])
            own_postgres_server.start()
            await pipe.ingested(within_s=50)
            assert await pipe.value("SELECT count(*) FROM results") == len(ticks)
            assert await pipe.value("SELECT count(*) FROM incidents") == len(monitors)
            assert await pipe.value("SELECT count(*) FROM transitions") == 2 * len(monitors)
            assert await pipe.value("SELECT count(*) FROM states WHERE status = 'down'") == len(monitors)


async def test_a_killed_nats_server_loses_nothing_that_it_had_stored(
    nats_server: NatsServer, postgres_dsn: str
) -> None:
    async with open_pipe(nats_server.url, postgres_dsn) as pipe:
        monitors = [await pipe.add() for _ in range(30)]
        ticks = [result(each, last_tick(each, pipe.clock())) for each in monitors]
        async with flowing(pipe):
            await pipe.publish(ticks[:20])
            nats_server.kill()
            nats_server.start()
            left = [message(each) for each in ticks[20:]]

            async def all_accepted() -> bool:
                left[:] = await pipe.bus.publish_all(left, timeout_s=1)
                return not left

            await eventually(all_accepted, within_s=30, what="the bus is back")
            await pipe.ingested(within_s=50)
            assert await pipe.value("SELECT count(*) FROM results") == len(ticks)


async def _events(pipe: Pipe, count: int) -> list[Event]:
    async def all_there() -> bool:
        return await pipe.stored(subjects.EVENTS) >= count

    await eventually(all_there, within_s=10, what=f"{count} events")
    stored = [await pipe.bus.jetstream.get_msg(subjects.EVENTS, seq=seq) for seq in range(1, count + 1)]
    return [msgspec.json.decode(each.data or b"", type=Event) for each in stored]
