"""Live feed: results and events of one tenant, resumable, without gaps or duplicates.

Reads core subscriptions on the subjects to which the server republishes the streams (`stream_configs.py`), so that a
subscriber costs no consumer, and an item can arrive before it is committed to the database. Only a client that resumes
with the id of its last item gets a short-lived consumer, which replays the streams up to the present.
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
    """One item of the feed. `event` is "result", or the type of an Event; `body` is its JSON."""

    id: str
    event: str
    body: bytes


class StreamCursor(msgspec.Struct, frozen=True):
    """Read position in one stream. `epoch`, the time of its creation, distinguishes a stream from its predecessor."""

    seq: int
    epoch: int

    def __str__(self) -> str:
        return f"{self.seq}.{self.epoch:x}"


class FeedCursor(msgspec.Struct, frozen=True):
    """Read position in both streams. Its text is the id of an item, from which a client can resume."""

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
        cursor = StreamCursor(seq, self.for_stream(stream).epoch)
        return FeedCursor(cursor, self.events) if stream == subjects.RESULTS else FeedCursor(self.results, cursor)


class _EventType(msgspec.Struct):
    """The type of an Event; the rest of its body is not decoded."""

    type: str


_decode_event_type = msgspec.json.Decoder(_EventType).decode


@asynccontextmanager
async def follow(
    bus: Bus, tenant_id: str, *, kind: str | None = None, monitor_id: str | None = None, after: str | None = None
) -> AsyncIterator[AsyncIterator[FeedItem]]:
    """Yields items from now on, or from the one after the item with id `after` (ValueError if that is not an id).

    The iterator ends with a BusError if the reader is too slow or the connection breaks: resuming from the last id
    loses nothing.
    """
    resume_from = None if after is None else FeedCursor.parse(after)
    filters = {
        subjects.RESULTS: subjects.result(tenant_id, "*", kind or "*", monitor_id or "*"),
        subjects.EVENTS: subjects.event(tenant_id, kind or "*", monitor_id or "*"),
    }
    live = [subjects.live(name) for name in filters.values()]
    async with BoundedSubscription.open(bus.client, *live, buffer_max=BUFFER_MAX) as subscription:
        remove_callback = bus.on_disconnect(lambda: subscription.fail("the connection to NATS broke"))
        try:
            async with aclosing(
                _FeedReader(bus, subscription, filters, await _current_cursor(bus)).items(resume_from)
            ) as items:
                yield items
        finally:
            remove_callback()


class _FeedReader:
    """Feed of one client: stored items since its last id, then live items, each exactly once."""

    def __init__(
        self, bus: Bus, subscription: BoundedSubscription, filters: dict[str, str], present: FeedCursor
    ) -> None:
        self._bus = bus
        self._subscription = subscription
        self._filters = filters
        self._cursor = present
        self._subscribed_at = _now()

    async def items(self, resume_from: FeedCursor | None) -> AsyncGenerator[FeedItem, None]:
        if resume_from is not None:
            present, self._cursor = self._cursor, _resume_cursor(resume_from, self._cursor)
            async with aclosing(self._replay(present)) as items:
                async for item in items:
                    yield item
        async for message in self._subscription:
            live_item = self._deduplicate(message)
            if live_item is not None:
                yield live_item

    async def _replay(self, present: FeedCursor) -> AsyncGenerator[FeedItem, None]:
        for _ in range(REPLAY_ROUNDS_MAX):
            for stream in self._filters:
                async with aclosing(self._stored_messages(stream, present.for_stream(stream).seq)) as messages:
                    async for message in messages:
                        yield self._item(stream, message.metadata.sequence.stream, message.data)
                self._cursor = self._cursor.advanced_to(stream, present.for_stream(stream).seq)
            if not self._subscription.failed:
                return
            # Live items were dropped during the replay: the next round reads them from the streams.
            self._subscription.clear()
            present, self._subscribed_at = await _current_cursor(self._bus), _now()
        raise BusError("the reader is too slow")

    async def _stored_messages(self, stream: str, until: int) -> AsyncGenerator[Msg, None]:
        """Yields the stored messages after the cursor, up to sequence `until`."""
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
            with suppress(NatsError, TimeoutError):  # the server deletes an inactive consumer itself
                await self._bus.jetstream.delete_consumer(stream, name)

    async def _replay_consumer(self, stream: str, start: int) -> tuple[str, int]:
        config = ConsumerConfig(
            # With a name, the request subject contains stream and filter, so that permissions can restrict them.
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
            raise BusError(f"stream {stream} was recreated")
        return None  # stored before the subscription, republished after it

    def _item(self, stream: str, seq: int, body: bytes) -> FeedItem:
        self._cursor = self._cursor.advanced_to(stream, seq)
        event = "result" if stream == subjects.RESULTS else _decode_event_type(body).type
        return FeedItem(str(self._cursor), event, body)


def _resume_cursor(resume_from: FeedCursor, present: FeedCursor) -> FeedCursor:
    return FeedCursor(
        _resume_stream(resume_from.results, present.results), _resume_stream(resume_from.events, present.events)
    )


def _resume_stream(resume_from: StreamCursor, present: StreamCursor) -> StreamCursor:
    """Returns the cursor to replay from: the start of a recreated stream, at most the end of a truncated one."""
    if resume_from.epoch != present.epoch:
        return StreamCursor(0, present.epoch)
    return StreamCursor(min(resume_from.seq, present.seq), present.epoch)


async def _current_cursor(bus: Bus) -> FeedCursor:
    return FeedCursor(await _stream_end(bus, subjects.RESULTS), await _stream_end(bus, subjects.EVENTS))


async def _stream_end(bus: Bus, stream: str) -> StreamCursor:
    with as_bus_errors(f"look at stream {stream}"):
        info = await bus.jetstream.stream_info(stream)
    created_at_ms = 0 if info.created is None else int(info.created.timestamp() * 1000)
    return StreamCursor(info.state.last_seq, created_at_ms)


async def _next_batch(pull: PullConsumer) -> list[Msg]:
    try:
        async with asyncio.timeout(REPLAY_TIMEOUT_S):
            return await pull.next_batch(0)
    except TimeoutError as error:
        raise BusError("the stored items did not come") from error


def _now() -> float:
    return asyncio.get_running_loop().time()
