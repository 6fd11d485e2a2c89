"""Ticks without a result: each is recorded as missed, once it is certain that none is on its way.

Certain is what lies behind the horizon: the time of the oldest result that waits in the stream. A result that comes
after all replaces its `missed`.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta

import msgspec
import structlog

from libs.bus import streams
from libs.bus.bus import Bus
from libs.model.interval import tick_at_or_before
from libs.store import gaps, schedules
from libs.store.driver import Db
from libs.store.gaps import Gap
from libs.store.locks import Lock, hold
from libs.store.pool import Store
from services.results.pipeline.days import Days
from services.results.pipeline.digest import open_hour
from services.results.pipeline.meter import Meter

Clock = Callable[[], datetime]

MARGIN_S = 15.0

_GAPS = 500
_SCHEDULES = 5000
_TICKS_MAX = 20_000

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Sweep:
    """Fills gaps, and finds the schedules that have fallen silent."""

    def __init__(self, store: Store, bus: Bus, clock: Clock, days: Days, margin_s: float = MARGIN_S) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._days = days
        self._margin = timedelta(seconds=margin_s)
        self._meter = Meter()

    async def work(self) -> bool:
        """Accounts for what is certain; returns whether there may be more."""
        certain = await streams.horizon(self._bus, self._clock()) - self._margin
        filled = await self.fill_gaps(certain)
        found = await self.find_silent(certain)
        return filled or found

    async def fill_gaps(self, certain: datetime) -> bool:
        """Turns the gaps that ended long enough before `certain` into missed rows, a bounded number at a time."""
        async with self._store.connection() as db:
            due = await gaps.due(db, certain, _GAPS)
        if not due:
            return False
        due = [self._within_kept_days(gap) for gap in due]
        parts = take(due, _TICKS_MAX)
        await self._days.ensure(days_of(parts))
        async with self._store.transaction() as db:
            await hold(db, Lock.FOLDING)
            await self._fill(db, parts)
            whole = {gap.id: gap for gap in due}
            rest = [msgspec.structs.replace(gap, after_at=gap.until_at) for gap in parts]
            await gaps.close(db, [gap for gap in parts if gap.until_at == whole[gap.id].until_at])
            await gaps.shorten(db, [gap for gap in rest if gap.until_at != whole[gap.id].until_at])
        return len(due) == _GAPS or len(parts) < len(due) or parts[-1].until_at != due[len(parts) - 1].until_at

    async def find_silent(self, certain: datetime) -> bool:
        """Records what silent schedules missed, and has them published again."""
        async with self._store.connection() as db:
            if not (parts := await self._silent(db, certain)):
                return False
        await self._days.ensure(days_of(parts))
        async with self._store.transaction() as db:
            await hold(db, Lock.FOLDING)
            parts = await self._silent(db, certain)
            await schedules.repeat(db, [(gap.monitor_id, gap.location) for gap in parts], self._clock())
            await self._fill(db, parts)
            await gaps.set_ticked(db, parts)
        return True

    async def _silent(self, db: Db, certain: datetime) -> list[Gap]:
        silent = await gaps.overdue(db, certain, _SCHEDULES)
        return take([self._within_kept_days(gap) for gap in silent], _TICKS_MAX)

    async def _fill(self, db: Db, parts: Sequence[Gap]) -> None:
        missed = await gaps.fill(db, parts, open_hour(self._clock()))
        self._meter.missed.inc(missed)
        if missed:
            log.info("sweep.missed", ticks=missed, stretches=len(parts))

    def _within_kept_days(self, gap: Gap) -> Gap:
        begin = datetime.combine(self._days.oldest(), time(), UTC) - timedelta(microseconds=1)
        return gap if gap.after_at >= begin else msgspec.structs.replace(gap, after_at=begin)


def take(given: Iterable[Gap], ticks_max: int) -> list[Gap]:
    """Returns the first gaps up to `ticks_max` ticks in all, the last of them shortened to fit."""
    taken: list[Gap] = []
    left = ticks_max
    for gap in given:
        if left <= 0:
            break
        span = timedelta(seconds=left * gap.interval_s)
        if gap.until_at - gap.after_at > span:
            until = tick_at_or_before(gap.after_at + span, gap.interval_s, gap.phase_s)
            gap = msgspec.structs.replace(gap, until_at=until)  # noqa: PLW2901 - the shortened one takes its place
        taken.append(gap)
        left -= 1 + max(0, int((gap.until_at - gap.after_at).total_seconds())) // gap.interval_s
    return taken


def days_of(given: Iterable[Gap]) -> set[date]:
    """Returns every day into which these gaps reach."""
    days: set[date] = set()
    for gap in given:
        day = gap.after_at.date()
        while day <= gap.until_at.date():
            days.add(day)
            day += timedelta(days=1)
    return days
