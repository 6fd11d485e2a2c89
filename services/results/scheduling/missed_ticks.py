"""Recorder of missed ticks: ticks without a result, once no result can be on its way any more.

No result is on its way for ticks before the horizon, the time of the oldest result that waits in the stream, less a
margin. A result that arrives after all replaces the `missed` row.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta

import msgspec
import structlog

from libs.bus import provisioning
from libs.bus.connection import Bus
from libs.model.interval import tick_at_or_before
from libs.store.core.driver import Db
from libs.store.core.locks import AdvisoryLock, acquire
from libs.store.core.pool import Store
from libs.store.ingest import gaps
from libs.store.ingest.gaps import Gap
from libs.store.monitors import schedules
from services.results.ingest.batch_transaction import open_hour
from services.results.ingest.partitions import PartitionManager
from services.results.metrics import ResultsMetrics

Clock = Callable[[], datetime]

MARGIN_S = 15.0

_GAPS_MAX = 500
_SCHEDULES_MAX = 5000
_TICKS_MAX = 20_000

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class MissedTickRecorder:
    """Fills closed gaps with `missed` rows, and detects schedules whose ticks have stopped."""

    def __init__(
        self, store: Store, bus: Bus, clock: Clock, days: PartitionManager, margin_s: float = MARGIN_S
    ) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._partitions = days
        self._margin = timedelta(seconds=margin_s)
        self._metrics = ResultsMetrics()

    async def record(self) -> bool:
        """Records one bounded portion of missed ticks; returns whether there may be more."""
        certain = await provisioning.ingested_until(self._bus, self._clock()) - self._margin
        filled = await self.fill_gaps(certain)
        found = await self.record_silent_schedules(certain)
        return filled or found

    async def fill_gaps(self, certain: datetime) -> bool:
        """Turns gaps that ended before `certain` into `missed` rows, a bounded number at a time."""
        async with self._store.connection() as db:
            due = await gaps.find_due(db, certain, _GAPS_MAX)
        if not due:
            return False
        due = [self._clip_to_kept_days(gap) for gap in due]
        parts = take_ticks(due, _TICKS_MAX)
        await self._partitions.ensure(days_covered(parts))
        async with self._store.transaction() as db:
            await acquire(db, AdvisoryLock.MONITOR_STATE)
            await self._fill(db, parts)
            whole = {gap.id: gap for gap in due}
            rest = [msgspec.structs.replace(gap, after_at=gap.until_at) for gap in parts]
            await gaps.delete(db, [gap for gap in parts if gap.until_at == whole[gap.id].until_at])
            await gaps.shorten(db, [gap for gap in rest if gap.until_at != whole[gap.id].until_at])
        return len(due) == _GAPS_MAX or len(parts) < len(due) or parts[-1].until_at != due[len(parts) - 1].until_at

    async def record_silent_schedules(self, certain: datetime) -> bool:
        """Records the missed ticks of schedules without results, and marks these schedules for publishing."""
        async with self._store.connection() as db:
            if not (parts := await self._silent_gaps(db, certain)):
                return False
        await self._partitions.ensure(days_covered(parts))
        async with self._store.transaction() as db:
            await acquire(db, AdvisoryLock.MONITOR_STATE)
            parts = await self._silent_gaps(db, certain)
            await schedules.republish(db, [(gap.monitor_id, gap.location) for gap in parts], self._clock())
            await self._fill(db, parts)
            await gaps.set_ticked(db, parts)
        return True

    async def _silent_gaps(self, db: Db, certain: datetime) -> list[Gap]:
        silent = await gaps.find_overdue(db, certain, _SCHEDULES_MAX)
        return take_ticks([self._clip_to_kept_days(gap) for gap in silent], _TICKS_MAX)

    async def _fill(self, db: Db, parts: Sequence[Gap]) -> None:
        missed = await gaps.record_missed(db, parts, open_hour(self._clock()))
        self._metrics.missed.inc(missed)
        if missed:
            log.info("missed_ticks.recorded", ticks=missed, stretches=len(parts))

    def _clip_to_kept_days(self, gap: Gap) -> Gap:
        begin = datetime.combine(self._partitions.oldest_day(), time(), UTC) - timedelta(microseconds=1)
        return gap if gap.after_at >= begin else msgspec.structs.replace(gap, after_at=begin)


def take_ticks(given: Iterable[Gap], ticks_max: int) -> list[Gap]:
    """Returns the first gaps, at most `ticks_max` ticks in all; the last one is shortened to fit."""
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


def days_covered(given: Iterable[Gap]) -> set[date]:
    """Returns the days that the gaps cover."""
    days: set[date] = set()
    for gap in given:
        day = gap.after_at.date()
        while day <= gap.until_at.date():
            days.add(day)
            day += timedelta(days=1)
    return days
