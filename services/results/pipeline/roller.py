"""Rolls results up by hour and by day, a slice of monitors at a time, spread over the hour that follows."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec
import structlog

from libs.store import facts, rollups
from libs.store.driver import Db
from libs.store.locks import Lock, hold, try_hold
from libs.store.pool import Store
from libs.store.rollups import Hour
from services.results.pipeline.digest import open_hour

Clock = Callable[[], datetime]

# Results of an hour are still on their way when it closes. What comes later than this is rolled up again.
SETTLE = timedelta(minutes=5)

_SLICE = 500
_SLICE_PAUSE_S = 1.0
_STALE = 500
_HOUR = timedelta(hours=1)
_FACT = "rollups_progress"

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Progress(msgspec.Struct, frozen=True):
    """The hour that is being rolled up, and the last monitor for which it is."""

    hour_at: datetime
    monitor_id: str = rollups.START


class Roller:
    """Two pieces of work for loops: `roll` for hours that have closed, `roll_again` for rows that came late."""

    def __init__(self, store: Store, clock: Clock, *, hourly_keep_days: int, daily_keep_days: int) -> None:
        self._store = store
        self._clock = clock
        self._hourly_keep = timedelta(days=hourly_keep_days)
        self._daily_keep = timedelta(days=daily_keep_days)

    async def roll(self) -> bool:
        """Rolls up one slice; returns whether the hour has more of them."""
        async with self._store.transaction() as db:
            if not await try_hold(db, Lock.ROLLUPS):
                return False
            progress = await facts.get(db, _FACT, Progress) or Progress(open_hour(self._clock()))
            if progress.hour_at + _HOUR + SETTLE > self._clock():
                await facts.put(db, _FACT, progress)
                return False
            ids = await rollups.monitors_after(db, progress.monitor_id, _SLICE)
            await self._roll_slice(db, progress.hour_at, ids)
            await facts.put(db, _FACT, _next(progress, ids))
        if len(ids) == _SLICE and progress.hour_at + 2 * _HOUR > self._clock():
            await asyncio.sleep(_SLICE_PAUSE_S)  # nobody waits for it; the ingest has the machine
        return True

    async def roll_again(self) -> bool:
        """Rolls up hours anew that got rows after they had closed."""
        async with self._store.transaction() as db:
            # No batch is being stored meanwhile, so that none can add rows to an hour that is just taken off the list.
            await hold(db, Lock.FOLDING)
            stale = await rollups.take_stale(db, open_hour(self._clock() - SETTLE), _STALE)
            await rollups.roll_hours(db, stale)
            progress = await facts.get(db, _FACT, Progress)
            await rollups.roll_days(db, [_day(hour) for hour in stale if progress and _is_over(hour, progress)])
        return len(stale) == _STALE

    async def _roll_slice(self, db: Db, hour_at: datetime, ids: Sequence[str]) -> None:
        hours = [Hour(each, hour_at) for each in ids]
        await rollups.roll_hours(db, hours)
        if hour_at.hour == 23:
            await rollups.roll_days(db, [_day(hour) for hour in hours])
            now = self._clock()
            await rollups.drop_old(db, ids, now - self._hourly_keep, now - self._daily_keep)


def _next(progress: Progress, ids: Sequence[str]) -> Progress:
    if len(ids) == _SLICE:
        return Progress(progress.hour_at, ids[-1])
    return Progress(progress.hour_at + _HOUR)


def _day(hour: Hour) -> Hour:
    return Hour(hour.monitor_id, hour.at.replace(hour=0))


def _is_over(hour: Hour, progress: Progress) -> bool:
    """Tells whether the day of `hour` was rolled up already, or is about to be."""
    return _day(hour).at + timedelta(days=1) <= progress.hour_at + _HOUR
