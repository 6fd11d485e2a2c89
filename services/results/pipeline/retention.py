"""The end of old things: results, deleted monitors, replies, unused buckets, the audit; and new days before they begin."""

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta

import structlog

from libs.store import audit, buckets, tombstones
from libs.store.driver import Db
from libs.store.locks import Lock, kept
from libs.store.pool import Store
from services.results.pipeline.days import Days

Clock = Callable[[], datetime]

_REPLIES_KEPT = timedelta(days=1)
_BUCKETS_KEPT = timedelta(days=1)
_PURGE = 200
_FORGET = 5000

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Retention:
    """One piece of work for a loop, about every hour."""

    def __init__(self, store: Store, clock: Clock, days: Days, audit_keep_days: int) -> None:
        self._store = store
        self._clock = clock
        self._days = days
        self._audit_kept = timedelta(days=audit_keep_days)

    async def work(self) -> bool:
        """Makes the days ahead and removes what is over; returns whether there is more to remove.

        While another process is at it there is nothing to do.
        """
        await self._days.make_ahead()
        async with self._store.connection() as db, kept(db, Lock.RETENTION) as held:
            return held and await self._remove(db)

    async def _remove(self, db: Db) -> bool:
        for day in await self._days.drop_old(db):
            log.info("retention.dropped", day=day.isoformat())
        # Each by itself: requests wait for what of theirs is removed until its transaction ends.
        await tombstones.forget_replies(db, self._clock() - _REPLIES_KEPT)
        await buckets.forget(db, self._clock() - _BUCKETS_KEPT)
        forgotten = await audit.forget(db, self._clock() - self._audit_kept, _FORGET)
        oldest = datetime.combine(self._days.oldest(), time(), UTC)
        async with db.transaction():
            purged = await tombstones.purge(db, oldest, _PURGE)
        if purged:
            log.info("retention.purged", monitors=purged)
        return purged == _PURGE or forgotten == _FORGET
