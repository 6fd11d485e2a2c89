"""The end of old things: days of results, deleted monitors, remembered replies, unused buckets; and new days before they begin."""

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta

import structlog

from libs.store import buckets, tombstones
from libs.store.pool import Store
from services.results.pipeline.days import Days

Clock = Callable[[], datetime]

_REPLIES_KEPT = timedelta(days=1)
_BUCKETS_KEPT = timedelta(days=1)
_PURGE = 200

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Retention:
    """One piece of work for a loop, about every hour."""

    def __init__(self, store: Store, clock: Clock, days: Days) -> None:
        self._store = store
        self._clock = clock
        self._days = days

    async def work(self) -> bool:
        """Makes the days ahead and removes what is over; returns whether there is more to remove."""
        await self._days.make_ahead()
        for day in await self._days.drop_old():
            log.info("retention.dropped", day=day.isoformat())
        async with self._store.transaction() as db:
            await tombstones.forget_replies(db, self._clock() - _REPLIES_KEPT)
            await buckets.forget(db, self._clock() - _BUCKETS_KEPT)
            oldest = datetime.combine(self._days.oldest(), time(), UTC)
            purged = await tombstones.purge(db, oldest, _PURGE)
        if purged:
            log.info("retention.purged", monitors=purged)
        return purged == _PURGE
