"""The time of one monitor as it was recorded: rolled up by day and hour, and tick by tick where it is not."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from libs.model.outcome import Status
from libs.store.driver import Db

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


class Span(msgspec.Struct, frozen=True, order=True):
    """A stretch of time, without its end."""

    from_at: datetime
    to_at: datetime


class Tick(msgspec.Struct, frozen=True):
    """One tick that was recorded."""

    location: str
    tick_at: datetime
    interval_s: int
    status: Status


class Rolled(msgspec.Struct, frozen=True):
    """How one location spent one whole hour or day, in seconds."""

    span: Span
    seconds: dict[Status, float]


async def days(db: Db, monitor_id: str, spans: Sequence[Span]) -> list[Rolled]:
    """Returns the whole days in `spans` that are rolled up."""
    return await _rolled(db, _DAYS, monitor_id, spans, timedelta(days=1))


async def hours(db: Db, monitor_id: str, spans: Sequence[Span]) -> list[Rolled]:
    """Returns the whole hours in `spans` that are rolled up."""
    return await _rolled(db, _HOURS, monitor_id, spans, timedelta(hours=1))


async def ticks(db: Db, monitor_id: str, locations: Sequence[str], spans: Sequence[Span]) -> list[Tick]:
    """Returns the ticks in `spans`, with those before them that may reach into them."""
    starts, ends = _bounds(spans)
    rows = [*await db.rows(_TICKS, monitor_id, starts, ends)]
    rows += await db.rows(_TICKS_BEFORE, monitor_id, starts, locations)
    return [Tick(row["location"], row["tick_at"], row["interval_s"], Status(row["status"])) for row in rows]


async def _rolled(db: Db, sql: str, monitor_id: str, spans: Sequence[Span], length: timedelta) -> list[Rolled]:
    rows = await db.rows(sql, monitor_id, *_bounds(spans))
    return [
        Rolled(Span(row["at"], row["at"] + length), {status: float(row[f"{status}_s"]) for status in Status})
        for row in rows
    ]


def _bounds(spans: Sequence[Span]) -> tuple[list[datetime], list[datetime]]:
    return [span.from_at for span in spans], [span.to_at for span in spans]
