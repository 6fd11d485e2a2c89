"""Schedules of nats-server: due checks arrive at their times and contain them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import msgspec
from faststream.nats import NatsRouter

from libs.bus import provisioning, schedules
from libs.bus.batches import batch_subscriber
from libs.bus.checks import check_now, read_check
from libs.bus.client.stored_message import StoredMessage
from libs.bus.connection import Bus
from libs.model.check import Check, Origin, Result
from libs.model.outcome import Status
from tests.support.servers import NatsServer

CHECK = Check(
    monitor_id="m1",
    tenant_id="t1",
    location="local",
    kind="http",
    revision=1,
    interval_s=10,
    timeout_s=5,
    spec=msgspec.Raw(b'{"kind":"http","url":"http://127.0.0.1/"}'),
)


def now() -> datetime:
    return datetime.now(UTC)


def soon() -> int:
    """Returns the phase of a 10 s schedule that is due in about two seconds."""
    return (int(now().timestamp()) + 2) % 10


@asynccontextmanager
async def checks(bus: Bus) -> AsyncIterator[asyncio.Queue[Check]]:
    await provisioning.provision_prober(bus, "local", "http")
    queue: asyncio.Queue[Check] = asyncio.Queue()

    async def take(deliveries: list[StoredMessage]) -> None:
        for delivery in deliveries:
            queue.put_nowait(read_check(delivery))
            await delivery.ack()

    router = NatsRouter()
    batch_subscriber(router, "CHECKS", "local-http", take, batch_size=10)
    bus.broker.include_router(router)
    await bus.start()
    yield queue


async def get(queue: asyncio.Queue[Check]) -> Check:
    async with asyncio.timeout(15):
        return await queue.get()


async def test_a_schedule_ticks_at_its_phase_and_the_tick_has_its_time(bus: Bus) -> None:
    phase = soon()
    async with checks(bus) as queue:
        await bus.publish(schedules.schedule(CHECK, 0, phase))
        check = await get(queue)
        assert check.tick_at is not None
        assert check == msgspec.structs.replace(CHECK, tick_at=check.tick_at)
        assert int(check.tick_at.timestamp()) % 10 == phase
        assert timedelta() <= now() - check.tick_at < timedelta(seconds=10)


async def test_an_edit_takes_effect_at_the_next_tick_and_a_cancelled_schedule_stops(bus: Bus) -> None:
    async with checks(bus) as queue:
        await bus.publish(schedules.schedule(CHECK, 0, soon()))
        await bus.publish(schedules.schedule(msgspec.structs.replace(CHECK, revision=2), 0, soon()))
        other = msgspec.structs.replace(CHECK, monitor_id="m2")
        await bus.publish(schedules.schedule(other, 0, soon()))
        await bus.publish(schedules.cancel(0, "local", "m2"))
        assert (await get(queue)).revision == 2
        await bus.publish(schedules.recheck(CHECK, 0, now() + timedelta(seconds=1)))
        assert (await get(queue)).origin is Origin.RECHECK
        assert queue.empty()


async def test_a_recheck_is_delivered_once_even_if_its_time_is_past(bus: Bus) -> None:
    at = now() + timedelta(seconds=1)
    past = now() - timedelta(seconds=5)
    async with checks(bus) as queue:
        for _ in range(2):
            await bus.publish(schedules.recheck(CHECK, 0, at))
        first = await get(queue)
        assert (first.origin, first.tick_at) == (Origin.RECHECK, at)
        assert now() >= at
        await bus.publish(schedules.recheck(CHECK, 0, past))
        second = await get(queue)
        assert second.tick_at == past
        assert queue.empty()


async def test_an_outage_of_the_server_does_not_change_the_phase(bus: Bus, nats_server: NatsServer) -> None:
    phase = soon()
    async with checks(bus) as queue:
        await bus.publish(schedules.schedule(CHECK, 0, phase))
        nats_server.kill()
        nats_server.start()
        check = await get(queue)
        assert check.tick_at is not None
        assert int(check.tick_at.timestamp()) % 10 == phase


async def test_the_result_of_an_immediate_check_is_sent_to_its_requester(bus: Bus, other_bus: Bus) -> None:
    wanted = msgspec.structs.replace(CHECK, origin=Origin.ADHOC, tick_at=now())
    async with checks(other_bus) as queue, asyncio.TaskGroup() as group:
        asked = group.create_task(check_now(bus, wanted, 0, 10))
        check = await get(queue)
        assert check.reply_to is not None
        answer = Result(
            **{name: getattr(check, name) for name in ("monitor_id", "tenant_id", "location", "kind", "revision")},
            interval_s=check.interval_s,
            origin=check.origin,
            tick_at=wanted.tick_at or now(),
            started_at=now(),
            duration_s=0.1,
            status=Status.UP,
            reason="ok",
        )
        await other_bus.publish_core(check.reply_to, msgspec.json.encode(answer))
    assert asked.result() == answer


async def test_a_stale_tick_is_replaced_by_the_next(bus: Bus) -> None:
    await provisioning.provision_prober(bus, "local", "http")
    due = schedules.immediate_check(msgspec.structs.replace(CHECK, origin=Origin.MANUAL, tick_at=now()), 0)
    for number in range(5):
        await bus.publish(msgspec.structs.replace(due, id=f"again-{number}"))
    assert (await bus.jetstream.stream_info("CHECKS")).state.messages == 1
