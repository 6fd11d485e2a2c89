"""Batches from a provisioned consumer: never changed, waited for while missing, nothing lost at a stop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from faststream.nats import NatsRouter

from libs.bus import provisioning
from libs.bus.batches import batch_subscriber
from libs.bus.client import pull_consumer
from libs.bus.client.message import Message
from libs.bus.client.stored_message import StoredMessage
from libs.bus.connection import Bus
from libs.bus.dead_letters import publish_dead_letter
from tests.integration.bus.conftest import RESULTS_BYTES
from tests.support.servers import NatsServer
from tests.support.wait import eventually


def results(count: int, start: int = 0) -> list[Message]:
    return [Message("results.t1.local.http.m1", b"%d" % n, f"tick-{n}") for n in range(start, start + count)]


class AckingHandler:
    """Batch handler that acknowledges and records the messages."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.arrived = asyncio.Condition()

    @property
    def numbers(self) -> list[int]:
        return [number for batch in self.batches for number in batch]

    async def __call__(self, deliveries: list[StoredMessage]) -> None:
        self.batches.append([int(delivery.data) for delivery in deliveries])
        for delivery in deliveries:
            await delivery.ack()
        async with self.arrived:
            self.arrived.notify_all()

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(20), self.arrived:
            await self.arrived.wait_for(lambda: len(set(self.numbers)) >= count)


@asynccontextmanager
async def subscribed_batches(bus: Bus, handler: Any, **options: Any) -> AsyncIterator[None]:
    router = NatsRouter()
    batch_subscriber(router, "RESULTS", "ingest", handler, **({"batch_size": 100} | options))
    bus.broker.include_router(router)
    await bus.start()
    try:
        yield
    finally:
        for subscriber in router.subscribers:
            await subscriber.stop()


async def test_messages_arrive_in_order_in_batches_of_at_most_the_size(bus: Bus) -> None:
    taker = AckingHandler()
    assert await bus.publish_all(results(950)) == []
    async with subscribed_batches(bus, taker):
        await taker.wait_for(950)
    assert taker.numbers == list(range(950))
    assert max(len(batch) for batch in taker.batches) <= 100


async def test_the_consumer_stays_as_it_was_provisioned(bus: Bus) -> None:
    before = (await bus.jetstream.consumer_info("RESULTS", "ingest")).config
    taker = AckingHandler()
    async with subscribed_batches(bus, taker):
        await bus.publish(results(1)[0])
        await taker.wait_for(1)
    assert (await bus.jetstream.consumer_info("RESULTS", "ingest")).config == before
    assert [info.name for info in await bus.jetstream.consumers_info("RESULTS")] == ["ingest"]


async def test_a_message_after_a_quiet_period_is_delivered_at_once(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull_consumer, "REQUEST_EXPIRES_S", 2.0)
    taker = AckingHandler()
    async with subscribed_batches(bus, taker):
        for number in range(6):
            await bus.publish(results(1, number)[0])
            await taker.wait_for(number + 1)
            await asyncio.sleep(0.5)
    assert taker.batches == [[0], [1], [2], [3], [4], [5]]


async def test_lingering_collects_messages_that_arrive_within_it(bus: Bus) -> None:
    taker = AckingHandler()
    async with subscribed_batches(bus, taker, linger_s=0.5):
        for message in results(5):
            await bus.publish(message)
        await taker.wait_for(5)
    assert taker.batches == [[0, 1, 2, 3, 4]]


async def test_a_missing_consumer_pauses_the_subscriber_until_it_is_recreated(bus: Bus) -> None:
    taker = AckingHandler()
    async with subscribed_batches(bus, taker):
        await bus.publish(results(1)[0])
        await taker.wait_for(1)
        await bus.jetstream.delete_consumer("RESULTS", "ingest")
        sent = bus.client.stats["out_msgs"]
        await asyncio.sleep(1.5)
        assert bus.client.stats["out_msgs"] - sent < 20
        await provisioning.provision(bus, results_bytes_max=RESULTS_BYTES)
        await bus.publish(results(1, 1)[0])
        await taker.wait_for(2)


async def test_delivery_continues_after_the_server_was_killed(bus: Bus, nats_server: NatsServer) -> None:
    taker = AckingHandler()
    async with subscribed_batches(bus, taker):
        assert await bus.publish_all(results(100)) == []
        await taker.wait_for(100)
        nats_server.kill()
        nats_server.start()
        await provisioning.provision(bus, results_bytes_max=RESULTS_BYTES)
        assert await bus.publish_all(results(100, 100)) == []
        await taker.wait_for(200)


async def test_buffered_messages_are_nak_ed_at_a_stop(bus: Bus, other_bus: Bus) -> None:
    stuck, taking = asyncio.Event(), asyncio.Event()

    async def hold(deliveries: list[StoredMessage]) -> None:
        taking.set()
        await stuck.wait()
        for delivery in deliveries:
            await delivery.nak()

    assert await bus.publish_all(results(10)) == []
    async with subscribed_batches(bus, hold, batch_size=100):
        await taking.wait()
        assert await bus.publish_all(results(50, 10)) == []
        await eventually(lambda: has_pending(bus, 60), within_s=10, what="delivered to the one who is stuck")
        stuck.set()
    taker = AckingHandler()
    async with subscribed_batches(other_bus, taker):
        await taker.wait_for(60)
    assert sorted(set(taker.numbers)) == list(range(60))


async def test_stopping_under_load_leaves_no_message_unacknowledged(bus: Bus, other_bus: Bus) -> None:
    first, second = AckingHandler(), AckingHandler()  # what were kept back would come again after 30 s only

    async def flood() -> None:
        for start in range(0, 3000, 100):
            assert await other_bus.publish_all(results(100, start)) == []

    async with asyncio.TaskGroup() as group, subscribed_batches(bus, first, batch_size=20):
        group.create_task(flood())
        await first.wait_for(500)
    async with subscribed_batches(other_bus, second, batch_size=500):
        await second.wait_for(len(set(range(3000)) - set(first.numbers)))
    assert set(first.numbers) | set(second.numbers) == set(range(3000))


async def test_an_exception_of_the_handler_does_not_end_the_subscription(bus: Bus) -> None:
    taker = AckingHandler()

    async def fragile(deliveries: list[StoredMessage]) -> None:
        if deliveries[0].times_delivered == 1 and deliveries[0].data == b"0":
            await deliveries[0].nak()
            raise KeyError
        await taker(deliveries)

    async with subscribed_batches(bus, fragile):
        await bus.publish(results(1)[0])
        await taker.wait_for(1)


async def test_a_dead_letter_is_stored_once_with_its_reason(bus: Bus) -> None:
    done = asyncio.Event()

    async def refuse(deliveries: list[StoredMessage]) -> None:
        for _ in range(2):
            await publish_dead_letter(bus, deliveries[0], "not\r\nreadable: \N{SNOWMAN}")
        await deliveries[0].term()
        done.set()

    async with subscribed_batches(bus, refuse):
        await bus.publish(Message("results.t1.local.http.m1", b"\x00\xff"))
        await done.wait()
    assert (await bus.jetstream.stream_info("DEAD_LETTERS")).state.messages == 1
    kept = await bus.jetstream.get_msg("DEAD_LETTERS", seq=1)
    assert (kept.subject, kept.data) == ("dead_letters.RESULTS", b"\x00\xff")
    assert (kept.headers or {})["Vedette-Reason"] == r"not  readable: \u2603"
    assert (kept.headers or {})["Vedette-Subject"] == "results.t1.local.http.m1"


async def has_pending(bus: Bus, count: int) -> bool:
    return (await bus.jetstream.consumer_info("RESULTS", "ingest")).num_ack_pending == count
