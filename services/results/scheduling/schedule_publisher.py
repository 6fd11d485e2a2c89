"""Publisher of schedules: makes the schedules in NATS equal to the table `schedules`.

NATS is a cache of the table. Changed rows are published at once, every row about once an hour, and all rows after the
stream was created anew.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta

import structlog

from libs.bus import provisioning, subjects
from libs.bus import schedules as bus_schedules
from libs.bus.client.message import Message
from libs.bus.connection import Bus
from libs.store.core import key_values
from libs.store.core.locks import AdvisoryLock, try_acquire
from libs.store.core.pool import Store
from libs.store.monitors import schedules
from libs.store.monitors.schedules import ScheduleKey, ScheduleRow
from services.results.metrics import ResultsMetrics

Clock = Callable[[], datetime]

REPUBLISH_AFTER = timedelta(hours=1)

_CHUNK_SIZE = 2000
_REFRESH_SIZE = 200
_TIMEOUT_S = 10.0
_STREAM_KEY = "checks_stream_created_at"

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class SchedulePublisher:
    """Work of two periodic tasks: `publish`, every second, and `check_stream`, every few seconds."""

    def __init__(self, store: Store, bus: Bus, clock: Clock, provision: Callable[[], Awaitable[None]]) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._provision = provision
        self._metrics = ResultsMetrics()

    async def publish(self) -> bool:
        """Publishes changed schedules, then some of the oldest. A refused one does not delay the others.

        Raises TimeoutError if the bus refused any of the changed ones.
        """
        after: ScheduleKey | None = None
        refused = 0
        while True:
            chunk = await self._publish_chunk(after)
            if chunk is None:
                return False
            refused += chunk[1]
            if len(chunk[0]) < _CHUNK_SIZE:
                break
            after = chunk[0][-1].key
        if refused:
            raise TimeoutError(f"{refused} schedules were not accepted")
        await self._refresh_oldest()
        return False

    async def check_stream(self) -> bool:
        """Marks every schedule as unpublished if the stream was recreated; returns whether it did."""
        created_at = await provisioning.stream_created_at(self._bus, subjects.CHECKS)
        if created_at is None:
            await self._provision()
            created_at = await provisioning.stream_created_at(self._bus, subjects.CHECKS)
        async with self._store.transaction() as db:
            known = await key_values.get(db, _STREAM_KEY, datetime)
            if created_at is None or known == created_at:
                return False
            count = await schedules.reset_published(db)
            await key_values.put(db, _STREAM_KEY, created_at)
        if known is not None:
            log.warning("schedules.stream_lost", schedules=count)
        return True

    async def _publish_chunk(self, after: ScheduleKey | None) -> tuple[list[ScheduleRow], int] | None:
        """Returns the chunk and how many of it were refused; None if another process holds the lock."""
        async with self._store.transaction() as db:
            if not await try_acquire(db, AdvisoryLock.SCHEDULES):
                return None
            chunk = await schedules.page_unpublished(db, self._clock(), after, _CHUNK_SIZE)
            accepted = await self._send(chunk)
            await schedules.set_published(db, [each for each in accepted if each.active], self._clock())
            await schedules.delete_cancelled(db, [each for each in accepted if not each.active])
        return chunk, len(chunk) - len(accepted)

    async def _refresh_oldest(self) -> None:
        """Republishes the oldest schedules: NATS may lose one silently, for example when a full disk refuses its tick."""
        async with self._store.transaction() as db:
            now = self._clock()
            if await try_acquire(db, AdvisoryLock.SCHEDULES):
                oldest = await schedules.page_oldest(db, now, now - REPUBLISH_AFTER, _REFRESH_SIZE)
                await schedules.set_published(db, await self._send(oldest), self._clock())

    async def _send(self, chunk: Sequence[ScheduleRow]) -> list[ScheduleRow]:
        if not chunk:
            return []
        messages = [_message(each) for each in chunk]
        refused = {id(message) for message in await self._bus.publish_all(messages, timeout_s=_TIMEOUT_S)}
        accepted = [each for each, message in zip(chunk, messages, strict=True) if id(message) not in refused]
        self._metrics.published.inc(len(accepted))
        return accepted


def _message(scheduled: ScheduleRow) -> Message:
    check = scheduled.check
    if scheduled.active:
        return bus_schedules.schedule(check, scheduled.shard, scheduled.phase_s)
    return bus_schedules.cancel(scheduled.shard, check.location, check.monitor_id)
