"""Retention: drops expired partitions, tombstones, replies, token buckets and audit entries; creates partitions ahead."""

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta

import structlog

from libs.store.core.driver import Db
from libs.store.core.locks import AdvisoryLock, session_lock
from libs.store.core.pool import Store
from libs.store.monitors import tombstones
from libs.store.tenancy import audit, token_buckets
from services.results.ingest.partitions import PartitionManager

Clock = Callable[[], datetime]

_REPLIES_KEPT = timedelta(days=1)
_BUCKETS_KEPT = timedelta(days=1)
_PURGE_MAX = 200
_AUDIT_DELETE_MAX = 5000

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Retention:
    """Work of an hourly periodic task."""

    def __init__(self, store: Store, clock: Clock, partitions: PartitionManager, audit_keep_days: int) -> None:
        self._store = store
        self._clock = clock
        self._partitions = partitions
        self._audit_kept = timedelta(days=audit_keep_days)

    async def remove_expired(self) -> bool:
        """Creates partitions ahead and removes what has expired; returns whether there is more to remove.

        Removes nothing while another process holds the lock.
        """
        await self._partitions.create_ahead()
        async with self._store.connection() as db, session_lock(db, AdvisoryLock.RETENTION) as held:
            return held and await self._remove(db)

    async def _remove(self, db: Db) -> bool:
        for day in await self._partitions.drop_old(db):
            log.info("retention.partition_dropped", day=day.isoformat())
        # In separate transactions, as requests wait for rows that are being deleted until the commit.
        await tombstones.delete_old_replies(db, self._clock() - _REPLIES_KEPT)
        await token_buckets.delete_idle(db, self._clock() - _BUCKETS_KEPT)
        forgotten = await audit.delete_old(db, self._clock() - self._audit_kept, _AUDIT_DELETE_MAX)
        oldest = datetime.combine(self._partitions.oldest_day(), time(), UTC)
        async with db.transaction():
            purged = await tombstones.purge(db, oldest, _PURGE_MAX)
        if purged:
            log.info("retention.monitors_purged", monitors=purged)
        return purged == _PURGE_MAX or forgotten == _AUDIT_DELETE_MAX
