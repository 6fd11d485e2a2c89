"""Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html) with bounded lifetime."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any

import structlog
from litestar import Response
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from libs.bus.errors import BusError
from libs.bus.feed import FeedItem
from libs.process.tasks import cancel_and_wait
from services.gateway.access.concurrency import ConcurrencyLimit

KEEPALIVE_S = 15.0
STREAMS_MAX = 2000
STREAM_TENANTS_MIN = 4  # one tenant may open 1/STREAM_TENANTS_MIN of all streams
WRITE_S_MAX = 30.0
RELEASE_S_MAX = 5.0

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would buffer events
]

_log = structlog.get_logger()

FeedSource = AbstractAsyncContextManager[AsyncIterator[FeedItem]]
EndCondition = Callable[[], Coroutine[Any, Any, None]]


class StreamRegistry:
    """Open event streams of this process: their number is limited, and all are closed at shutdown."""

    def __init__(self, *, keepalive_s: float = KEEPALIVE_S, streams_max: int = STREAMS_MAX) -> None:
        self.keepalive_s = keepalive_s
        self.concurrency = ConcurrencyLimit(
            "streams are open here", streams_max, -(-streams_max // STREAM_TENANTS_MIN), status_code=429
        )
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        self._stopping.set()

    async def wait_stopped(self) -> None:
        """Returns when the process stops."""
        await self._stopping.wait()


class EventStreamResponse(Response[None]):
    """Sends the items of `follow` until the client disconnects, the source or process ends, or `ended` returns.

    `whose` is the tenant whose stream limit applies.
    """

    def __init__(self, streams: StreamRegistry, follow: FeedSource, ended: EndCondition, whose: str) -> None:
        super().__init__(None)
        self._streams, self._follow, self._ended, self._whose = streams, follow, ended, whose

    def to_asgi_response(self, *_: Any, **__: Any) -> ASGIResponse:
        return _EventStreamASGIResponse(self._streams, self._follow, self._ended, self._whose)


class _EventStreamASGIResponse(ASGIResponse):
    """Opens the source before the response starts, so that a failure is an error status.

    Litestar's own SSE response opens its source after it has sent the 200.
    """

    def __init__(self, streams: StreamRegistry, follow: FeedSource, ended: EndCondition, whose: str) -> None:
        super().__init__()
        self._streams, self._follow, self._ended, self._whose = streams, follow, ended, whose

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - as ASGI calls it
        with self._streams.concurrency.acquire(self._whose):
            wire = _EventWriter(send)
            async with _open_source(self._follow) as items:
                await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
                await _wait_first(
                    wire.write_items(items),
                    wire.write_keepalives(self._streams.keepalive_s),
                    _wait_disconnected(receive),
                    self._streams.wait_stopped(),
                    self._ended(),
                )
            await wire.finish()


@contextlib.asynccontextmanager
async def _open_source(follow: FeedSource) -> AsyncIterator[AsyncIterator[FeedItem]]:
    """Opens `follow`, and closes it also if the request is cancelled: a subscription must not outlive its request.

    Litestar runs its own streams in a cancel scope of anyio, which cancels every await of the clean-up, too. A
    cancellation by asyncio is delivered once; later awaits in the clean-up complete.
    """
    items = await follow.__aenter__()
    try:
        yield items
    finally:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RELEASE_S_MAX):
                await follow.__aexit__(None, None, None)


async def _wait_first(*waits: Coroutine[Any, Any, None]) -> None:
    """Returns when the first of `waits` returns; cancels the others."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(wait) for wait in waits]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        await cancel_and_wait(tasks)


async def _wait_disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class _EventWriter:
    """Serialized writes to the client. A client that does not read for `WRITE_S_MAX` seconds is disconnected."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._lock = asyncio.Lock()

    async def write_items(self, items: AsyncIterator[FeedItem]) -> None:
        try:
            async for item in items:
                await self._write(_encode_event(item))
        except (BusError, TimeoutError) as error:
            _log.info("stream.ended", reason=str(error) or "the client does not read")

    async def write_keepalives(self, every_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            while True:
                await self._write(b": keep-alive\n\n")
                await asyncio.sleep(every_s)

    async def finish(self) -> None:
        with contextlib.suppress(TimeoutError):
            await self._write(b"", more=False)

    async def _write(self, chunk: bytes, *, more: bool = True) -> None:
        async with asyncio.timeout(WRITE_S_MAX), self._lock:
            await self._send({"type": "http.response.body", "body": chunk, "more_body": more})


def _encode_event(item: FeedItem) -> bytes:
    data = item.body.replace(b"\n", b" ")  # JSON has newlines only between its tokens
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (item.id.encode(), item.event.encode(), data)
