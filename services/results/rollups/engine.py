"""Hourly and daily rollups of results, a slice of monitors at a time, spread over the following hour."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec
import structlog

from libs.store.core import key_values
from libs.store.core.driver import Db
from libs.store.core.locks import AdvisoryLock, acquire, try_acquire
from libs.store.core.pool import Store
from libs.store.ingest import rollups
from libs.store.ingest.rollups import MonitorHour
from services.results.ingest.batch_transaction import open_hour

Clock = Callable[[], datetime]

# Results of an hour arrive for some time after its end. Those that arrive later than this cause a second rollup.
SETTLE_TIME = timedelta(minutes=5)

_SLICE_SIZE = 500
_SLICE_PAUSE_S = 1.0
_STALE_MAX = 500
_HOUR = timedelta(hours=1)
_PROGRESS_KEY = "rollups_progress"

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class RollupProgress(msgspec.Struct, frozen=True):
    """The hour in progress and the last monitor that was rolled up for it."""

    hour_at: datetime
    monitor_id: str = rollups.MONITOR_ID_MIN


class RollupEngine:
    """Work of two periodic tasks: `roll_up` for hours that have ended, `roll_up_late` for rows that arrived late."""

    def __init__(self, store: Store, clock: Clock, *, hourly_keep_days: int, daily_keep_days: int) -> None:
        self._store = store
        self._clock = clock
        self._hourly_keep = timedelta(days=hourly_keep_days)
        self._daily_keep = timedelta(days=daily_keep_days)

    async def roll_up(self) -> bool:
        """Rolls up one slice; returns whether the hour has more."""
        async with self._store.transaction() as db:
            if not await try_acquire(db, AdvisoryLock.ROLLUPS):
                return False
            progress = await key_values.get(db, _PROGRESS_KEY, RollupProgress) or RollupProgress(
                open_hour(self._clock())
            )
            if progress.hour_at + _HOUR + SETTLE_TIME > self._clock():
                await key_values.put(db, _PROGRESS_KEY, progress)
                return False
            ids = await rollups.next_monitor_ids(db, progress.monitor_id, _SLICE_SIZE)
            await self._roll_up_slice(db, progress.hour_at, ids)
            await key_values.put(db, _PROGRESS_KEY, _next_progress(progress, ids))
        if len(ids) == _SLICE_SIZE and progress.hour_at + 2 * _HOUR > self._clock():
            await asyncio.sleep(_SLICE_PAUSE_S)  # leave the CPU to the ingest: nothing waits for a rollup
        return True

    async def roll_up_late(self) -> bool:
        """Rolls up again the hours that got rows after their rollup; returns whether there may be more."""
        async with self._store.transaction() as db:
            # The lock excludes batches, which could otherwise add rows to an hour that was just taken off the stale list.
            await acquire(db, AdvisoryLock.MONITOR_STATE)
            stale = await rollups.take_stale(db, open_hour(self._clock() - SETTLE_TIME), _STALE_MAX)
            await rollups.roll_up_hours(db, stale)
            progress = await key_values.get(db, _PROGRESS_KEY, RollupProgress)
            await rollups.roll_up_days(
                db, [_day_of(hour) for hour in stale if progress and _is_day_complete(hour, progress)]
            )
        return len(stale) == _STALE_MAX

    async def _roll_up_slice(self, db: Db, hour_at: datetime, ids: Sequence[str]) -> None:
        hours = [MonitorHour(each, hour_at) for each in ids]
        await rollups.roll_up_hours(db, hours)
        if hour_at.hour == 23:
            await rollups.roll_up_days(db, [_day_of(hour) for hour in hours])
            now = self._clock()
            await rollups.delete_old(db, ids, now - self._hourly_keep, now - self._daily_keep)


def _next_progress(progress: RollupProgress, ids: Sequence[str]) -> RollupProgress:
    if len(ids) == _SLICE_SIZE:
        return RollupProgress(progress.hour_at, ids[-1])
    return RollupProgress(progress.hour_at + _HOUR)


def _day_of(hour: MonitorHour) -> MonitorHour:
    return MonitorHour(hour.monitor_id, hour.at.replace(hour=0))


def _is_day_complete(hour: MonitorHour, progress: RollupProgress) -> bool:
    """Returns whether the day of `hour` was rolled up already or is next."""
    return _day_of(hour).at + timedelta(days=1) <= progress.hour_at + _HOUR
