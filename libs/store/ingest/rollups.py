"""Hourly and daily rollups of uptime, recomputed from the stored rows: a repeat gives the same values."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from libs.store.core.driver import Db

# A tick stands for the time up to the next tick of its location, at most its interval; an hour has the parts inside it,
# also of the one tick before it. No interval is longer than a day, which bounds how far back that tick can be.
_ROLL_UP_HOURS = """
WITH hours AS (
    SELECT monitor_id, at, at + interval '1 hour' AS until FROM unnest($1::uuid[], $2::timestamptz[]) AS n (monitor_id, at)
), ticks AS (
    SELECT h.at, h.until, r.monitor_id, r.location, r.tick_at, r.interval_s, r.status, r.duration_s
    FROM hours AS h
    JOIN results AS r ON r.monitor_id = h.monitor_id AND r.tick_at >= h.at AND r.tick_at < h.until AND r.origin = 'tick'
    UNION ALL
    SELECT h.at, h.until, f.monitor_id, f.location, r.tick_at, r.interval_s, r.status, r.duration_s
    FROM hours AS h
    JOIN confirmations AS f ON f.monitor_id = h.monitor_id
    CROSS JOIN LATERAL (
        SELECT tick_at, interval_s, status, duration_s FROM results
        WHERE monitor_id = h.monitor_id AND tick_at < h.at AND tick_at > h.at - interval '1 day'
          AND location = f.location AND origin = 'tick'
        ORDER BY tick_at DESC LIMIT 1
    ) AS r
), parts AS (
    SELECT *, extract(epoch FROM
        least(tick_at + make_interval(secs => interval_s), until,
              lead(tick_at) OVER (PARTITION BY at, monitor_id, location ORDER BY tick_at))
        - greatest(tick_at, at))::int AS part_s
    FROM ticks
)
INSERT INTO rollups_hourly AS h (monitor_id, location, at, up_s, degraded_s, down_s, unknown_s, missed_s, checks,
                                 duration_s_sum, duration_s_max)
SELECT monitor_id, location, at,
       coalesce(sum(part_s) FILTER (WHERE status = 'up'), 0), coalesce(sum(part_s) FILTER (WHERE status = 'degraded'), 0),
       coalesce(sum(part_s) FILTER (WHERE status = 'down'), 0), coalesce(sum(part_s) FILTER (WHERE status = 'unknown'), 0),
       coalesce(sum(part_s) FILTER (WHERE status = 'missed'), 0),
       count(*) FILTER (WHERE tick_at >= at AND status <> 'missed'),
       coalesce(sum(duration_s) FILTER (WHERE tick_at >= at AND status <> 'missed'), 0),
       coalesce(max(duration_s) FILTER (WHERE tick_at >= at AND status <> 'missed'), 0)
FROM parts WHERE part_s > 0 OR tick_at >= at
GROUP BY monitor_id, location, at
ON CONFLICT (monitor_id, at, location) DO UPDATE
SET up_s = excluded.up_s, degraded_s = excluded.degraded_s, down_s = excluded.down_s, unknown_s = excluded.unknown_s,
    missed_s = excluded.missed_s, checks = excluded.checks, duration_s_sum = excluded.duration_s_sum,
    duration_s_max = excluded.duration_s_max
"""
_ROLL_UP_DAYS = """
INSERT INTO rollups_daily AS d (monitor_id, location, at, up_s, degraded_s, down_s, unknown_s, missed_s, checks,
                                duration_s_sum, duration_s_max)
SELECT h.monitor_id, h.location, n.at, sum(up_s), sum(degraded_s), sum(down_s), sum(unknown_s), sum(missed_s), sum(checks),
       sum(duration_s_sum), max(duration_s_max)
FROM (SELECT DISTINCT * FROM unnest($1::uuid[], $2::timestamptz[])) AS n (monitor_id, at)
JOIN rollups_hourly AS h ON h.monitor_id = n.monitor_id AND h.at >= n.at AND h.at < n.at + interval '24 hours'
GROUP BY h.monitor_id, h.location, n.at
ON CONFLICT (monitor_id, at, location) DO UPDATE
SET up_s = excluded.up_s, degraded_s = excluded.degraded_s, down_s = excluded.down_s, unknown_s = excluded.unknown_s,
    missed_s = excluded.missed_s, checks = excluded.checks, duration_s_sum = excluded.duration_s_sum,
    duration_s_max = excluded.duration_s_max
"""
_TAKE_STALE = """
DELETE FROM rollups_stale AS s USING (
    SELECT monitor_id, at FROM rollups_stale WHERE at < $1 ORDER BY monitor_id, at LIMIT $2
) AS n
WHERE s.monitor_id = n.monitor_id AND s.at = n.at RETURNING s.monitor_id, s.at
"""
_NEXT_MONITOR_IDS = "SELECT id FROM monitors WHERE id > $1 ORDER BY id LIMIT $2"
_DELETE_HOURS = "DELETE FROM rollups_hourly WHERE monitor_id = ANY($1::uuid[]) AND at < $2"
_DELETE_DAYS = "DELETE FROM rollups_daily WHERE monitor_id = ANY($1::uuid[]) AND at < $2"

MONITOR_ID_MIN = "00000000-0000-0000-0000-000000000000"


class MonitorHour(msgspec.Struct, frozen=True):
    """One hour of one monitor."""

    monitor_id: str
    at: datetime


async def next_monitor_ids(db: Db, monitor_id: str, limit: int) -> list[str]:
    """Returns the next monitors in the order of their ids, tombstones included."""
    return [row["id"] for row in await db.rows(_NEXT_MONITOR_IDS, monitor_id, limit)]


async def roll_up_hours(db: Db, hours: Sequence[MonitorHour]) -> None:
    if hours:
        await db.run(_ROLL_UP_HOURS, [hour.monitor_id for hour in hours], [hour.at for hour in hours])


async def roll_up_days(db: Db, days: Sequence[MonitorHour]) -> None:
    """Sums the stored hours of each day, which begins at `at`."""
    if days:
        await db.run(_ROLL_UP_DAYS, [day.monitor_id for day in days], [day.at for day in days])


async def take_stale(db: Db, before: datetime, limit: int) -> list[MonitorHour]:
    """Takes hours before `before` off the list of those that are to be rolled up again."""
    return [MonitorHour(row["monitor_id"], row["at"]) for row in await db.rows(_TAKE_STALE, before, limit)]


async def delete_old(db: Db, monitor_ids: Sequence[str], hours_before: datetime, days_before: datetime) -> None:
    await db.run(_DELETE_HOURS, monitor_ids, hours_before)
    await db.run(_DELETE_DAYS, monitor_ids, days_before)
