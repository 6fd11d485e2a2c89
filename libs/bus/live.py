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
from libs.bus.bus import Bus
from libs.bus.errors import BusError, as_bus_errors
from libs.bus.inbox import Inbox
from libs.bus.pull import Pull

HELD_MAX = 2000
REPLAY_BATCH = 256
REPLAY_SILENCE_S = 10.0
CATCH_UP_ROUNDS = 10
OVERLAP_S = 5.0

_ID = re.compile(r"r(\d{1,19})\.([0-9a-f]{1,16})-e(\d{1,19})\.([0-9a-f]{1,16})")


class LiveItem(msgspec.Struct, frozen=True):
    """One thing that happened. `event` is "result", or the type of an Event; `body` is its JSON."""

    id: str
    event: str
    body: bytes


class Place(msgspec.Struct, frozen=True):
    """How far one stream was read. The epoch, when the stream was made, tells a new stream from its predecessor."""

    seq: int
    epoch: int

    def __str__(self) -> str:
        return f"{self.seq}.{self.epoch:x}"


class Position(msgspec.Struct, frozen=True):
    """How far both streams were read; its text is the id of an item, and what a watcher comes back with."""

    results: Place
    events: Place

    def __str__(self) -> str:
        return f"r{self.results}-e{self.events}"

    @classmethod
    def parse(cls, text: str) -> Self:
        found = _ID.fullmatch(text)
        if found is None:
            raise ValueError("after: not the id of an item of this feed")
        results, results_epoch, events, events_epoch = found.groups()
        return cls(Place(int(results), int(results_epoch, 16)), Place(int(events), int(events_epoch, 16)))

    def of(self, stream: str) -> Place:
        return self.results if stream == subjects.RESULTS else self.events

    def at(self, stream: str, seq: int) -> "Position":
        place = Place(seq, self.of(stream).epoch)
        return Position(place, self.events) if stream == subjects.RESULTS else Position(self.results, place)


class _EventType(msgspec.Struct):
    """As much of an Event as a watcher's filter needs."""

    type: str


_decode_event_type = msgspec.json.Decoder(_EventType).decode


@asynccontextmanager
async def follow(
    bus: Bus, tenant_id: str, *, kind: str | None = None, monitor_id: str | None = None, after: str | None = None
) -> AsyncIterator[AsyncIterator[LiveItem]]:
    """Yields what happens from now on, or from right behind the item whose id is `after` (ValueError if it is none).

    The iterator ends with a BusError when the reader falls behind or the connection breaks:
    coming back with the last id loses nothing.
    """
    left_at = None if after is None else Position.parse(after)
    filters = {
        subjects.RESULTS: subjects.result(tenant_id, "*", kind or "*", monitor_id or "*"),
        subjects.EVENTS: subjects.event(tenant_id, kind or "*", monitor_id or "*"),
    }
    live = [subjects.live(name) for name in filters.values()]
    async with Inbox.open(bus.client, *live, held_max=HELD_MAX) as inbox:
        forget = bus.on_disconnect(lambda: inbox.fail("the connection to NATS broke"))
        try:
            async with aclosing(_Feed(bus, inbox, filters, await _present(bus)).items(left_at)) as items:
                yield items
        finally:
            forget()


class _Feed:
    """One watcher: first what was stored since it left, then what comes in, at the seam each item once."""

    def __init__(self, bus: Bus, inbox: Inbox, filters: dict[str, str], here: Position) -> None:
        self._bus = bus
        self._inbox = inbox
        self._filters = filters
        self._position = here
        self._joined_at = _now()

    async def items(self, left_at: Position | None) -> AsyncGenerator[LiveItem, None]:
        if left_at is not None:
            here, self._position = self._position, _resumed(left_at, self._position)
            async with aclosing(self._catch_up(here)) as items:
                async for item in items:
                    yield item
        async for message in self._inbox:
            news = self._joined(message)
            if news is not None:
                yield news

    async def _catch_up(self, here: Position) -> AsyncGenerator[LiveItem, None]:
        for _ in range(CATCH_UP_ROUNDS):
            for stream in self._filters:
                async with aclosing(self._stored(stream, here.of(stream).seq)) as messages:
                    async for message in messages:
                        yield self._item(stream, message.metadata.sequence.stream, message.data)
                self._position = self._position.at(stream, here.of(stream).seq)
            if not self._inbox.failed:
                return
            # The replay took so long that live items were dropped meanwhile: they are stored, too.
            self._inbox.clear()
            here, self._joined_at = await _present(self._bus), _now()
        raise BusError("the reader is too slow")

    async def _stored(self, stream: str, until: int) -> AsyncGenerator[Msg, None]:
        """Yields the stored messages behind our position, up to sequence `until`."""
        start = self._position.of(stream).seq + 1
        if start > until:
            return
        name, pending = await self._replay_consumer(stream, start)
        pull = Pull(self._bus.client, stream, name, REPLAY_BATCH)
        try:
            await pull.open()
            while pending > 0:
                for message in await _batch(pull):
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

    def _joined(self, message: Msg) -> LiveItem | None:
        headers = message.headers or {}
        stream, seq = headers.get("Nats-Stream", ""), int(headers.get("Nats-Sequence", "0"))
        if seq > self._position.of(stream).seq:
            return self._item(stream, seq, message.data)
        if self._inbox.arrived_at - self._joined_at > OVERLAP_S:
            raise BusError(f"stream {stream} was made anew")
        return None  # stored before we joined, republished after

    def _item(self, stream: str, seq: int, body: bytes) -> LiveItem:
        self._position = self._position.at(stream, seq)
        event = "result" if stream == subjects.RESULTS else _decode_event_type(body).type
        return LiveItem(str(self._position), event, body)


def _resumed(left_at: Position, here: Position) -> Position:
    return Position(_resumed_place(left_at.results, here.results), _resumed_place(left_at.events, here.events))


def _resumed_place(left_at: Place, here: Place) -> Place:
    """Whatever lies in a stream that was made anew is news; a stream that lost its end has none."""
    if left_at.epoch != here.epoch:
        return Place(0, here.epoch)
    return Place(min(left_at.seq, here.seq), here.epoch)


async def _present(bus: Bus) -> Position:
    return Position(await _end_of(bus, subjects.RESULTS), await _end_of(bus, subjects.EVENTS))


async def _end_of(bus: Bus, stream: str) -> Place:
    with as_bus_errors(f"look at stream {stream}"):
        info = await bus.jetstream.stream_info(stream)
    made_at_ms = 0 if info.created is None else int(info.created.timestamp() * 1000)
    return Place(info.state.last_seq, made_at_ms)


async def _batch(pull: Pull) -> list[Msg]:
    try:
        async with asyncio.timeout(REPLAY_SILENCE_S):
            return await pull.batch(0)
    except TimeoutError as error:
        raise BusError("the stored items did not come") from error


def _now() -> float:
    return asyncio.get_running_loop().time()
