"""End conditions of event streams, and release of their sources."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from litestar.exceptions import HTTPException

from libs.bus.errors import BusError
from libs.bus.feed import FeedItem
from services.gateway.web.event_stream import EventStreamResponse, StreamRegistry

SCOPE: Any = {"type": "http"}


class FakeSource:
    """What is followed: a queue of items, which says whether somebody holds it open."""

    def __init__(self) -> None:
        self.items: asyncio.Queue[FeedItem | BusError] = asyncio.Queue()
        self.is_open = False
        self.releases = 0

    @contextlib.asynccontextmanager
    async def follow(self) -> AsyncIterator[AsyncIterator[FeedItem]]:
        self.is_open = True
        try:
            yield self._each()
        finally:
            await asyncio.sleep(0)  # an unsubscribe goes over the wire
            self.is_open = False
            self.releases += 1

    async def _each(self) -> AsyncIterator[FeedItem]:
        while True:
            item = await self.items.get()
            if isinstance(item, BusError):
                raise item
            yield item


class FakeClient:
    """The other end of one request."""

    def __init__(self) -> None:
        self.chunks: asyncio.Queue[bytes] = asyncio.Queue()
        self.disconnected = asyncio.Event()
        self.reading = asyncio.Event()
        self.reading.set()
        self.finished = False

    async def receive(self) -> Any:
        await self.disconnected.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        await self.reading.wait()
        if message["type"] == "http.response.body":
            self.finished = not message["more_body"]
            await self.chunks.put(message["body"])


async def forever() -> None:
    await asyncio.Event().wait()


def call_stream(
    streams: StreamRegistry, source: FakeSource, client: FakeClient, ended: Any = forever, whose: str = "a"
) -> Any:
    response = EventStreamResponse(streams, source.follow(), ended, whose).to_asgi_response(None, None)
    return response(SCOPE, client.receive, client.send)


@contextlib.asynccontextmanager
async def open_stream(
    streams: StreamRegistry, source: FakeSource, client: FakeClient, ended: Any = forever
) -> AsyncIterator[asyncio.Task[None]]:
    before = streams.concurrency.active
    async with asyncio.TaskGroup() as group, asyncio.timeout(10):
        task = group.create_task(call_stream(streams, source, client, ended))
        assert b"keep-alive" in await client.chunks.get()
        yield task
        await task
    assert not source.is_open
    assert source.releases == 1
    assert streams.concurrency.active == before


async def test_items_are_written_as_events_of_one_line_each() -> None:
    source, client = FakeSource(), FakeClient()
    async with open_stream(StreamRegistry(), source, client):
        await source.items.put(FeedItem("r1.a-e2.b", "result", b'{"a":\n1}'))
        assert await client.chunks.get() == b'id: r1.a-e2.b\nevent: result\ndata: {"a": 1}\n\n'
        client.disconnected.set()


async def test_a_silent_source_is_kept_alive() -> None:
    source, client = FakeSource(), FakeClient()
    async with open_stream(StreamRegistry(keepalive_s=0.01), source, client):
        for _ in range(3):
            assert await client.chunks.get() == b": keep-alive\n\n"
        client.disconnected.set()


async def test_a_source_that_ends_ends_the_stream_in_good_order() -> None:
    source, client = FakeSource(), FakeClient()
    async with open_stream(StreamRegistry(), source, client):
        await source.items.put(BusError("the reader is too slow"))
    assert client.finished


async def test_all_streams_end_when_the_process_stops() -> None:
    streams, source, client = StreamRegistry(), FakeSource(), FakeClient()
    async with open_stream(streams, source, client):
        streams.stop()
    assert client.finished


async def test_a_stream_ends_when_its_key_does() -> None:
    source, client, revoked = FakeSource(), FakeClient(), asyncio.Event()

    async def until_revoked() -> None:
        await revoked.wait()

    async with open_stream(StreamRegistry(), source, client, until_revoked):
        revoked.set()
    assert client.finished


async def test_a_cancelled_request_lets_go_of_its_source() -> None:
    source, client, streams = FakeSource(), FakeClient(), StreamRegistry()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(call_stream(streams, source, client))
        await client.chunks.get()
        task.cancel()
    assert not source.is_open
    assert streams.concurrency.active == 0


async def test_a_client_that_does_not_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.web.event_stream.WRITE_S_MAX", 0.05)
    source, client = FakeSource(), FakeClient()
    async with open_stream(StreamRegistry(), source, client) as task:
        client.reading.clear()
        await source.items.put(FeedItem("1", "result", b"{}"))
        while source.is_open:
            await asyncio.sleep(0.01)
        client.reading.set()
        await task


async def test_streams_beyond_the_limit_are_refused() -> None:
    streams, source, client = StreamRegistry(streams_max=1), FakeSource(), FakeClient()
    async with open_stream(streams, source, client):
        with pytest.raises(HTTPException, match=r"^429: Limit reached: 1 streams are open here\.$"):
            await call_stream(streams, FakeSource(), FakeClient(), whose="b")
        client.disconnected.set()


async def test_one_tenant_cannot_use_all_slots() -> None:
    streams, source, client = StreamRegistry(streams_max=8), FakeSource(), FakeClient()
    with streams.concurrency.acquire("a"):
        async with open_stream(streams, source, client):
            with pytest.raises(HTTPException, match=r"^429: Limit reached: 2 streams are open here for this tenant\.$"):
                await call_stream(streams, FakeSource(), FakeClient())
            with streams.concurrency.acquire("b"), streams.concurrency.acquire("b"):
                assert streams.concurrency.active == 4
            client.disconnected.set()


async def test_a_stream_ends_with_the_process_also_during_a_key_lookup() -> None:
    streams, source, client = StreamRegistry(), FakeSource(), FakeClient()
    answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def ask_for_ever() -> None:
        waiting = answer
        while True:
            await asyncio.wait_for(waiting, 10)  # as nats-py waits
            waiting = asyncio.get_running_loop().create_future()

    async with open_stream(streams, source, client, ask_for_ever):
        streams.stop()
        await asyncio.sleep(0)
        answer.set_result(None)
    assert client.finished
