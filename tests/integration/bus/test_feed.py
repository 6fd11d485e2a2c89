"""Live feed: each item once, in order, after any failure of the reader or the connection."""

import asyncio
import signal
from collections.abc import AsyncIterator

import msgspec
import pytest

from libs.bus import feed, provisioning
from libs.bus.client.message import Message
from libs.bus.connection import Bus
from libs.bus.errors import BusError
from libs.bus.feed import FeedItem
from tests.integration.bus.conftest import RESULTS_BYTES
from tests.support.servers import NatsServer
from tests.support.wait import eventually


def result(number: int, *, tenant: str = "t1", kind: str = "http", monitor: str = "m1") -> Message:
    return Message(f"results.{tenant}.local.{kind}.{monitor}", b'{"number":%d}' % number)


def event(number: int, *, tenant: str = "t1", kind: str = "http", monitor: str = "m1") -> Message:
    return Message(f"events.{tenant}.{kind}.{monitor}", b'{"type":"transition","number":%d}' % number)


def number(item: FeedItem) -> int:
    return int(msgspec.json.decode(item.body)["number"])


async def take_items(items: AsyncIterator[FeedItem], count: int) -> list[FeedItem]:
    async with asyncio.timeout(20):
        return [await anext(items) for _ in range(count)]


async def collect_items(items: AsyncIterator[FeedItem], got: list[FeedItem]) -> None:
    async with asyncio.timeout(20):
        async for item in items:
            got.append(item)  # noqa: PERF401 what came before the error counts


async def test_results_and_events_arrive_with_their_event_type(bus: Bus) -> None:
    await bus.publish(result(0))
    async with feed.follow(bus, "t1") as items:
        await bus.publish(result(1))
        await bus.publish(event(2))
        got = await take_items(items, 2)
    assert {(item.event, number(item)) for item in got} == {("result", 1), ("transition", 2)}


async def test_a_feed_contains_only_items_of_its_tenant_and_filter(bus: Bus) -> None:
    async with feed.follow(bus, "t1", kind="http", monitor_id="m1") as items:
        for message in (result(1, tenant="t2"), result(2, kind="ping"), result(3, monitor="m2"), event(4, tenant="t2")):
            await bus.publish(message)
        await bus.publish(result(5))
        assert [number(item) for item in await take_items(items, 1)] == [5]


async def test_a_filtered_feed_resumes_with_its_own_items_only(bus: Bus) -> None:
    async with feed.follow(bus, "t1", monitor_id="m1") as items:
        await bus.publish(result(0))
        (last,) = await take_items(items, 1)
    for n in range(1, 10):
        await bus.publish(result(n, monitor=f"m{n % 3}"))
    async with feed.follow(bus, "t1", monitor_id="m1", after=last.id) as items:
        assert [number(item) for item in await take_items(items, 3)] == [1, 4, 7]


async def test_repeated_resuming_under_load_loses_and_duplicates_nothing(bus: Bus, other_bus: Bus) -> None:
    total = 3000

    async def publish() -> None:
        for n in range(0, total, 100):
            assert await other_bus.publish_all([result(m) for m in range(n, n + 100)]) == []
            await other_bus.publish(event(n))

    got: list[FeedItem] = []
    async with feed.follow(bus, "t1") as items:
        await bus.publish(result(-1))
        got += await take_items(items, 1)
    async with asyncio.TaskGroup() as group:
        group.create_task(publish())
        while len(got) < total + total // 100 + 1:
            wanted = min(97, total + total // 100 + 1 - len(got))
            async with feed.follow(bus, "t1", after=got[-1].id) as items:
                got += await take_items(items, wanted)
    assert [number(item) for item in got if item.event == "result"] == list(range(-1, total))
    assert [number(item) for item in got if item.event == "transition"] == list(range(0, total, 100))


async def test_a_slow_reader_gets_an_error_and_can_resume(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "BUFFER_MAX", 20)
    got: list[FeedItem] = []
    async with feed.follow(bus, "t1") as items:
        assert await bus.publish_all([result(n) for n in range(100)]) == []
        await eventually(lambda: _has_arrived(bus, 100), within_s=10, what="all copies are here, unread")
        with pytest.raises(BusError, match="too slow"):
            await collect_items(items, got)
    assert [number(item) for item in got] == list(range(20))
    async with feed.follow(bus, "t1", after=got[-1].id) as items:
        got += await take_items(items, 80)
    assert [number(item) for item in got] == list(range(100))


async def test_a_replay_overtaken_by_new_items_catches_up(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "BUFFER_MAX", 20)
    async with feed.follow(bus, "t1") as items:
        await bus.publish(result(0))
        got = await take_items(items, 1)
    assert await bus.publish_all([result(n) for n in range(1, 300)]) == []
    async with feed.follow(bus, "t1", after=got[-1].id) as items:
        got += await take_items(items, 5)
        assert await bus.publish_all([result(n) for n in range(300, 400)]) == []
        got += await take_items(items, 394)
        await bus.publish(result(400))
        got += await take_items(items, 1)
    assert [number(item) for item in got] == list(range(401))


async def test_a_broken_connection_ends_the_feed_and_resuming_loses_nothing(bus: Bus, nats_server: NatsServer) -> None:
    async with feed.follow(bus, "t1") as items:
        await bus.publish(result(0))
        got = await take_items(items, 1)
        nats_server.kill()
        with pytest.raises(BusError, match="broke"):
            await take_items(items, 1)
    nats_server.start()
    await provisioning.provision(bus, results_bytes_max=RESULTS_BYTES)
    await bus.publish(result(1))
    async with feed.follow(bus, "t1", after=got[-1].id) as items:
        await bus.publish(result(2))
        assert [number(item) for item in await take_items(items, 2)] == [1, 2]


async def test_a_recreated_stream_is_replayed_from_its_start(bus: Bus) -> None:
    async with feed.follow(bus, "t1") as items:
        assert await bus.publish_all([result(n) for n in range(50)]) == []
        got = await take_items(items, 50)
    await bus.jetstream.delete_stream("RESULTS")
    await provisioning.provision(bus, results_bytes_max=RESULTS_BYTES)
    await bus.publish(result(50))
    async with feed.follow(bus, "t1", after=got[-1].id) as items:
        await bus.publish(result(51))
        assert [number(item) for item in await take_items(items, 2)] == [50, 51]


async def test_recreating_a_stream_ends_its_open_feeds(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "OVERLAP_S", 0.0)
    await bus.publish(result(0))
    async with feed.follow(bus, "t1") as items:
        await bus.publish(result(1))
        await take_items(items, 1)
        await bus.jetstream.delete_stream("RESULTS")
        await provisioning.provision(bus, results_bytes_max=RESULTS_BYTES)
        await bus.publish(result(2))
        with pytest.raises(BusError, match="recreated"):
            await take_items(items, 1)


async def test_closing_a_feed_releases_its_subscriptions_and_its_replay_consumer(bus: Bus) -> None:
    async with feed.follow(bus, "t1") as items:
        assert await bus.publish_all([result(n) for n in range(1000)]) == []
        first = await take_items(items, 1)
    before = len(bus.client._subs)
    for _ in range(3):
        async with feed.follow(bus, "t1", after=first[0].id) as items:
            await take_items(items, 10)
    assert len(bus.client._subs) == before
    assert [info.name for info in await bus.jetstream.consumers_info("RESULTS")] == ["ingest"]


async def test_a_feed_that_fails_to_open_leaves_no_subscription(bus: Bus) -> None:
    await bus.jetstream.delete_stream("RESULTS")
    before = len(bus.client._subs), len(bus._connection_events._callbacks)
    with pytest.raises(BusError, match="RESULTS"):
        async with feed.follow(bus, "t1"):
            pass
    assert (len(bus.client._subs), len(bus._connection_events._callbacks)) == before


async def test_a_feed_cancelled_while_subscribing_leaves_no_subscription(bus: Bus, nats_server: NatsServer) -> None:
    async def follow() -> None:
        async with feed.follow(bus, "t1"):
            pass

    before = len(bus.client._subs)
    nats_server.process.signal(signal.SIGSTOP)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(follow())
        await asyncio.sleep(0.2)
        assert len(bus.client._subs) > before
        task.cancel()
    nats_server.process.signal(signal.SIGCONT)
    assert len(bus.client._subs) == before


async def test_an_invalid_item_id_is_a_value_error(bus: Bus) -> None:
    with pytest.raises(ValueError, match="after"):
        async with feed.follow(bus, "t1", after="1234"):
            pass


async def _has_arrived(bus: Bus, count: int) -> bool:
    feeds = [sub for sub in bus.client._subs.values() if sub.subject.startswith("live.results.")]
    return any(feed.delivered >= count and feed.pending_msgs == 0 for feed in feeds)
