"""Daily partitions of results: created ahead and for late results, dropped after retention."""

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time, timedelta

from libs.store.core.driver import Db
from libs.store.core.locks import AdvisoryLock, acquire
from libs.store.core.pool import Store
from libs.store.ingest import partitions

Clock = Callable[[], datetime]

_DAYS_BEHIND = 1  # results may have waited in the stream for a day
_DAYS_AHEAD = 2


class PartitionManager:
    """Partitions for the days from `keep_days` ago to tomorrow."""

    def __init__(self, store: Store, clock: Clock, keep_days: int) -> None:
        self._store = store
        self._clock = clock
        self._keep_days = keep_days
        self._existing: set[date] = set()

    def oldest_day(self) -> date:
        return self._clock().date() - timedelta(days=self._keep_days)

    def storable_window(self) -> tuple[datetime, datetime]:
        """Returns the range of ticks whose results are stored: (from, until)."""
        today = datetime.combine(self._clock().date(), time(), UTC)
        return today - timedelta(days=self._keep_days), today + timedelta(days=2)

    async def ensure(self, days: Iterable[date]) -> None:
        """Creates the missing partitions of `days`."""
        missing = set(days) - self._existing
        if missing:
            await self._create(missing)

    async def create_ahead(self) -> None:
        """Creates the partitions around today, without regard to the cache."""
        today = self._clock().date()
        await self._create({today + timedelta(days=offset) for offset in range(-_DAYS_BEHIND, _DAYS_AHEAD + 1)})

    async def drop_old(self, db: Db) -> list[date]:
        """Drops expired partitions, outside a transaction, and returns their days."""
        self._existing = {day for day in self._existing if day >= self.oldest_day()}
        return await partitions.drop(db, self.oldest_day())

    async def _create(self, days: set[date]) -> None:
        async with self._store.transaction() as db:
            await acquire(db, AdvisoryLock.PARTITIONS)
            await partitions.create(db, days)
        self._existing |= days
