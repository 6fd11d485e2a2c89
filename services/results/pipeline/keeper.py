"""Keeps the schedules in NATS equal to the table: whatever was lost on the way is published again.

NATS is a cache of the table. What is new is published at once, everything about once an hour, and all of it when the
stream was made anew.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

import structlog

from libs.bus import schedules as bus_schedules
from libs.bus import streams, subjects
from libs.bus.bus import Bus
from libs.bus.message import Message
from libs.store import facts, schedules
from libs.store.locks import Lock, try_hold
from libs.store.pool import Store
from libs.store.schedules import Key, Scheduled
from services.results.pipeline.meter import Meter

Clock = Callable[[], datetime]

REPUBLISH_AFTER = timedelta(hours=1)

_CHUNK = 2000
_OLD_CHUNK = 200
_TIMEOUT_S = 10.0
_STREAM_FACT = "checks_stream_created_at"

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Keeper:
    """Two pieces of work for loops: `publish`, often, and `look_after_stream`, now and then."""

    def __init__(self, store: Store, bus: Bus, clock: Clock, provision: Callable[[], Awaitable[None]]) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._provision = provision
        self._meter = Meter()

    async def publish(self) -> bool:
        """Publishes what NATS lacks, then a few of the oldest; one that is refused holds up none of the others."""
        after: Key | None = None
        refused = 0
        while True:
            chunk = await self._publish_chunk(after)
            if chunk is None:
                return False
            refused += chunk[1]
            if len(chunk[0]) < _CHUNK:
                break
            after = chunk[0][-1].key
        if refused:
            raise TimeoutError(f"{refused} schedules were not accepted")
        await self._refresh_oldest()
        return False

    async def look_after_stream(self) -> bool:
        """Has everything published again when the stream is not the one that had it."""
        created_at = await streams.created_at(self._bus, subjects.CHECKS)
        if created_at is None:
            await self._provision()
            created_at = await streams.created_at(self._bus, subjects.CHECKS)
        async with self._store.transaction() as db:
            known = await facts.get(db, _STREAM_FACT, datetime)
            if created_at is None or known == created_at:
                return False
            count = await schedules.forget_published(db)
            await facts.put(db, _STREAM_FACT, created_at)
        if known is not None:
            log.warning("keeper.stream_was_lost", schedules=count)
        return True

    async def _publish_chunk(self, after: Key | None) -> tuple[list[Scheduled], int] | None:
        """Returns the chunk and how many of it were refused; None when another process is at it."""
        async with self._store.transaction() as db:
            if not await try_hold(db, Lock.KEEPER):
                return None
            chunk = await schedules.unpublished(db, self._clock(), after, _CHUNK)
            accepted = await self._send(chunk)
            await schedules.set_published(db, [each for each in accepted if each.active], self._clock())
            await schedules.delete_cancelled(db, [each for each in accepted if not each.active])
        return chunk, len(chunk) - len(accepted)

    async def _refresh_oldest(self) -> None:
        """Heals what NATS lost silently, such as a schedule whose tick was refused by a full disk."""
        async with self._store.transaction() as db:
            now = self._clock()
            if await try_hold(db, Lock.KEEPER):
                oldest = await schedules.oldest(db, now, now - REPUBLISH_AFTER, _OLD_CHUNK)
                await schedules.set_published(db, await self._send(oldest), self._clock())

    async def _send(self, chunk: Sequence[Scheduled]) -> list[Scheduled]:
        if not chunk:
            return []
        messages = [_message(each) for each in chunk]
        refused = {id(message) for message in await self._bus.publish_all(messages, timeout_s=_TIMEOUT_S)}
        accepted = [each for each, message in zip(chunk, messages, strict=True) if id(message) not in refused]
        self._meter.published.inc(len(accepted))
        return accepted


def _message(scheduled: Scheduled) -> Message:
    check = scheduled.check
    if scheduled.active:
        return bus_schedules.schedule(check, scheduled.shard, scheduled.phase_s)
    return bus_schedules.cancel(scheduled.shard, check.location, check.monitor_id)
