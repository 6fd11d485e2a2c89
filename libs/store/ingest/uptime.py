"""Uptime of one monitor: from daily and hourly rollups, and from single ticks where there is no rollup yet."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from libs.model.outcome import Status
from libs.store.core.driver import Db

_DAYS = """
SELECT at, up_s, degraded_s, down_s, unknown_s, missed_s
FROM unnest($2::timestamptz[], $3::timestamptz[]) AS span (from_at, to_at)
JOIN rollups_daily ON monitor_id = $1 AND at >= span.from_at AND at <= span.to_at - interval '24 hours'
"""
_HOURS = """
SELECT at, up_s, degraded_s, down_s, unknown_s, missed_s
FROM unnest($2::timestamptz[], $3::timestamptz[]) AS span (from_at, to_at)
JOIN rollups_hourly ON monitor_id = $1 AND at >= span.from_at AND at <= span.to_at - interval '1 hour'
"""
_TICKS = """
SELECT location, tick_at, interval_s, status
FROM unnest($2::timestamptz[], $3::timestamptz[]) AS span (from_at, to_at)
CROSS JOIN LATERAL (
    SELECT location, tick_at, interval_s, status FROM results
    WHERE monitor_id = $1 AND tick_at >= span.from_at AND tick_at < span.to_at AND origin = 'tick'
) ticks
"""
# The tick before a span, which reaches into it. No interval is longer than a day.
_TICKS_BEFORE = """
SELECT watched.location, tick_at, interval_s, status
FROM unnest($2::timestamptz[]) AS span (from_at)
CROSS JOIN unnest($3::text[]) AS watched (location)
CROSS JOIN LATERAL (
    SELECT tick_at, interval_s, status FROM results
    WHERE monitor_id = $1 AND tick_at < span.from_at AND tick_at > span.from_at - interval '1 day'
      AND location = watched.location AND origin = 'tick'
    ORDER BY tick_at DESC LIMIT 1
) ticks
"""


class TimeSpan(msgspec.Struct, frozen=True, order=True):
    """A stretch of time, without its end."""

    from_at: datetime
    to_at: datetime


class RecordedTick(msgspec.Struct, frozen=True):
    """One tick that was recorded."""

    location: str
    tick_at: datetime
    interval_s: int
    status: Status


class StatusDurations(msgspec.Struct, frozen=True):
    """How one location spent one whole hour or day, in seconds."""

    span: TimeSpan
    seconds: dict[Status, float]


async def load_days(db: Db, monitor_id: str, spans: Sequence[TimeSpan]) -> list[StatusDurations]:
    """Returns the whole days in `spans` that are rolled up."""
    return await _load_rollups(db, _DAYS, monitor_id, spans, timedelta(days=1))


async def load_hours(db: Db, monitor_id: str, spans: Sequence[TimeSpan]) -> list[StatusDurations]:
    """Returns the whole hours in `spans` that are rolled up."""
    return await _load_rollups(db, _HOURS, monitor_id, spans, timedelta(hours=1))


async def load_ticks(
    db: Db, monitor_id: str, locations: Sequence[str], spans: Sequence[TimeSpan]
) -> list[RecordedTick]:
    """Returns the ticks in `spans`, with those before them that may reach into them."""
    starts, ends = _bounds(spans)
    rows = [*await db.rows(_TICKS, monitor_id, starts, ends)]
    rows += await db.rows(_TICKS_BEFORE, monitor_id, starts, locations)
    return [RecordedTick(row["location"], row["tick_at"], row["interval_s"], Status(row["status"])) for row in rows]


async def _load_rollups(
    db: Db, sql: str, monitor_id: str, spans: Sequence[TimeSpan], length: timedelta
) -> list[StatusDurations]:
    rows = await db.rows(sql, monitor_id, *_bounds(spans))
    return [
        StatusDurations(
            TimeSpan(row["at"], row["at"] + length), {status: float(row[f"{status}_s"]) for status in Status}
        )
        for row in rows
    ]


def _bounds(spans: Sequence[TimeSpan]) -> tuple[list[datetime], list[datetime]]:
    return [span.from_at for span in spans], [span.to_at for span in spans]
