"""Which days of results there are: made ahead, made late for what comes late, and refused when they are over."""

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time, timedelta

from libs.store import partitions
from libs.store.driver import Db
from libs.store.locks import Lock, hold
from libs.store.pool import Store

Clock = Callable[[], datetime]

_BEHIND = 1  # results may have waited in the stream for a day
_AHEAD = 2


class Days:
    """The days for which results can be stored, from `keep_days` ago to tomorrow."""

    def __init__(self, store: Store, clock: Clock, keep_days: int) -> None:
        self._store = store
        self._clock = clock
        self._keep_days = keep_days
        self._known: set[date] = set()

    def oldest(self) -> date:
        return self._clock().date() - timedelta(days=self._keep_days)

    def window(self) -> tuple[datetime, datetime]:
        """Returns from when until when results are worth storing."""
        today = datetime.combine(self._clock().date(), time(), UTC)
        return today - timedelta(days=self._keep_days), today + timedelta(days=2)

    async def ensure(self, days: Iterable[date]) -> None:
        """Returns once results of these days can be stored."""
        missing = set(days) - self._known
        if missing:
            await self._create(missing)

    async def make_ahead(self) -> None:
        """Makes the days around today, whatever was made before."""
        today = self._clock().date()
        await self._create({today + timedelta(days=offset) for offset in range(-_BEHIND, _AHEAD + 1)})

    async def drop_old(self, db: Db) -> list[date]:
        """Drops the days that are over, outside a transaction, and returns them."""
        self._known = {day for day in self._known if day >= self.oldest()}
        return await partitions.drop(db, self.oldest())

    async def _create(self, days: set[date]) -> None:
        async with self._store.transaction() as db:
            await hold(db, Lock.PARTITIONS)
            await partitions.create(db, days)
        self._known |= days
