"""What happens right now, for those who watch: results and events of one tenant, without a gap and without a double.

Plain subscriptions on the copies that the server republishes: a watcher costs no consumer. Only who comes back with
the id of the last item gets a short-lived consumer, which replays from the stored streams up to the present.
"""

import asyncio
import re
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Self

import msgspec
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from libs.bus import subjects
from libs.bus.client.bounded_subscription import BoundedSubscription
from libs.bus.client.pull_consumer import PullConsumer
from libs.bus.connection import Bus
from libs.bus.errors import BusError, as_bus_errors

BUFFER_MAX = 2000
REPLAY_BATCH = 256
REPLAY_TIMEOUT_S = 10.0
REPLAY_ROUNDS_MAX = 10
OVERLAP_S = 5.0

_CURSOR_PATTERN = re.compile(r"r(\d{1,19})\.([0-9a-f]{1,16})-e(\d{1,19})\.([0-9a-f]{1,16})")


class FeedItem(msgspec.Struct, frozen=True):
    """One thing that happened. `event` is "result", or the type of an Event; `body` is its JSON."""

    id: str
    event: str
    body: bytes


class StreamCursor(msgspec.Struct, frozen=True):
    """How far one stream was read. The epoch, when the stream was made, tells a new stream from its predecessor."""

    seq: int
    epoch: int

    def __str__(self) -> str:
        return f"{self.seq}.{self.epoch:x}"


class FeedCursor(msgspec.Struct, frozen=True):
    """How far both streams were read; its text is the id of an item, and what a watcher comes back with."""

    results: StreamCursor
    events: StreamCursor

    def __str__(self) -> str:
        return f"r{self.results}-e{self.events}"

    @classmethod
    def parse(cls, text: str) -> Self:
        found = _CURSOR_PATTERN.fullmatch(text)
        if found is None:
            raise ValueError("after: not the id of an item of this feed")
        results, results_epoch, events, events_epoch = found.groups()
        return cls(StreamCursor(int(results), int(results_epoch, 16)), StreamCursor(int(events), int(events_epoch, 16)))

    def for_stream(self, stream: str) -> StreamCursor:
        return self.results if stream == subjects.RESULTS else self.events

    def advanced_to(self, stream: str, seq: int) -> "FeedCursor":
        place = StreamCursor(seq, self.for_stream(stream).epoch)
        return FeedCursor(place, self.events) if stream == subjects.RESULTS else FeedCursor(self.results, place)


class _EventType(msgspec.Struct):
    """As much of an Event as a watcher's filter needs."""

    type: str


_decode_event_type = msgspec.json.Decoder(_EventType).decode


@asynccontextmanager
async def follow(
    bus: Bus, tenant_id: str, *, kind: str | None = None, monitor_id: str | None = None, after: str | None = None
) -> AsyncIterator[AsyncIterator[FeedItem]]:
    """Yields what happens from now on, or from right behind the item whose id is `after` (ValueError if it is none).

    The iterator ends with a BusError when the reader falls behind or the connection breaks:
    coming back with the last id loses nothing.
    """
    left_at = None if after is None else FeedCursor.parse(after)
    filters = {
        subjects.RESULTS: subjects.result(tenant_id, "*", kind or "*", monitor_id or "*"),
        subjects.EVENTS: subjects.event(tenant_id, kind or "*", monitor_id or "*"),
    }
    live = [subjects.live(name) for name in filters.values()]
    async with BoundedSubscription.open(bus.client, *live, held_max=BUFFER_MAX) as inbox:
        forget = bus.on_disconnect(lambda: inbox.fail("the connection to NATS broke"))
        try:
            async with aclosing(_FeedReader(bus, inbox, filters, await _current_cursor(bus)).items(left_at)) as items:
                yield items
        finally:
            forget()


class _FeedReader:
    """One watcher: first what was stored since it left, then what comes in, at the seam each item once."""

    def __init__(self, bus: Bus, inbox: BoundedSubscription, filters: dict[str, str], here: FeedCursor) -> None:
        self._bus = bus
        self._subscription = inbox
        self._filters = filters
        self._cursor = here
        self._subscribed_at = _now()

    async def items(self, left_at: FeedCursor | None) -> AsyncGenerator[FeedItem, None]:
        if left_at is not None:
            here, self._cursor = self._cursor, _resume_cursor(left_at, self._cursor)
            async with aclosing(self._replay(here)) as items:
                async for item in items:
                    yield item
        async for message in self._subscription:
            news = self._deduplicate(message)
            if news is not None:
                yield news

    async def _replay(self, here: FeedCursor) -> AsyncGenerator[FeedItem, None]:
        for _ in range(REPLAY_ROUNDS_MAX):
            for stream in self._filters:
                async with aclosing(self._stored_messages(stream, here.for_stream(stream).seq)) as messages:
                    async for message in messages:
                        yield self._item(stream, message.metadata.sequence.stream, message.data)
                self._cursor = self._cursor.advanced_to(stream, here.for_stream(stream).seq)
            if not self._subscription.failed:
                return
            # The replay took so long that live items were dropped meanwhile: they are stored, too.
            self._subscription.clear()
            here, self._subscribed_at = await _current_cursor(self._bus), _now()
        raise BusError("the reader is too slow")

    async def _stored_messages(self, stream: str, until: int) -> AsyncGenerator[Msg, None]:
        """Yields the stored messages behind our position, up to sequence `until`."""
        start = self._cursor.for_stream(stream).seq + 1
        if start > until:
            return
        name, pending = await self._replay_consumer(stream, start)
        pull = PullConsumer(self._bus.client, stream, name, REPLAY_BATCH)
        try:
            await pull.open()
            while pending > 0:
                for message in await _next_batch(pull):
                    pending = message.metadata.num_pending
                    if message.metadata.sequence.stream > until:
                        return
                    yield message
        finally:
            await pull.close()
            with suppress(NatsError, TimeoutError):  # else the server drops it by itself
                await self._bus.jetstream.delete_consumer(stream, name)

    async def _replay_consumer(self, stream: str, start: int) -> tuple[str, int]:
        config = ConsumerConfig(
            # With a name, the subject of the request says what is asked for: rights can hold it to that.
            name=f"replay-{secrets.token_hex(8)}",
            filter_subject=self._filters[stream],
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=start,
            ack_policy=AckPolicy.NONE,
            inactive_threshold=30,
            mem_storage=True,
        )
        with as_bus_errors(f"replay {stream}"):
            info = await self._bus.jetstream.add_consumer(stream, config)
        return info.name, info.num_pending or 0

    def _deduplicate(self, message: Msg) -> FeedItem | None:
        headers = message.headers or {}
        stream, seq = headers.get("Nats-Stream", ""), int(headers.get("Nats-Sequence", "0"))
        if seq > self._cursor.for_stream(stream).seq:
            return self._item(stream, seq, message.data)
        if self._subscription.received_at - self._subscribed_at > OVERLAP_S:
            raise BusError(f"stream {stream} was made anew")
        return None  # stored before we joined, republished after

    def _item(self, stream: str, seq: int, body: bytes) -> FeedItem:
        self._cursor = self._cursor.advanced_to(stream, seq)
        event = "result" if stream == subjects.RESULTS else _decode_event_type(body).type
        return FeedItem(str(self._cursor), event, body)


def _resume_cursor(left_at: FeedCursor, here: FeedCursor) -> FeedCursor:
    return FeedCursor(_resume_stream(left_at.results, here.results), _resume_stream(left_at.events, here.events))


def _resume_stream(left_at: StreamCursor, here: StreamCursor) -> StreamCursor:
    """Whatever lies in a stream that was made anew is news; a stream that lost its end has none."""
    if left_at.epoch != here.epoch:
        return StreamCursor(0, here.epoch)
    return StreamCursor(min(left_at.seq, here.seq), here.epoch)


async def _current_cursor(bus: Bus) -> FeedCursor:
    return FeedCursor(await _stream_end(bus, subjects.RESULTS), await _stream_end(bus, subjects.EVENTS))


async def _stream_end(bus: Bus, stream: str) -> StreamCursor:
    with as_bus_errors(f"look at stream {stream}"):
        info = await bus.jetstream.stream_info(stream)
    made_at_ms = 0 if info.created is None else int(info.created.timestamp() * 1000)
    return StreamCursor(info.state.last_seq, made_at_ms)


async def _next_batch(pull: PullConsumer) -> list[Msg]:
    try:
        async with asyncio.timeout(REPLAY_TIMEOUT_S):
            return await pull.next_batch(0)
    except TimeoutError as error:
        raise BusError("the stored items did not come") from error


def _now() -> float:
    return asyncio.get_running_loop().time()
