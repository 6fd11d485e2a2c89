"""Ranges of ticks without a result, and the `missed` rows that fill them."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from libs.store.core.driver import Db

_ADD = """
INSERT INTO gaps (monitor_id, location, revision, interval_s, phase_s, after_at, until_at)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::int[], $4::int[], $5::int[], $6::timestamptz[], $7::timestamptz[])
"""
# The shortest grid is 10 s: what is younger than twice that cannot be due, which lets the index cut most rows off.
_FIND_DUE = """
SELECT id, monitor_id, location, revision, interval_s, phase_s, after_at, until_at
FROM gaps
WHERE until_at < $1::timestamptz - interval '20 s' AND until_at < $1::timestamptz - make_interval(secs => 2 * interval_s)
ORDER BY until_at, id LIMIT $2
"""
_DELETE = "DELETE FROM gaps WHERE id = ANY($1::bigint[])"
_SHORTEN = """
UPDATE gaps AS g SET after_at = n.after_at FROM unnest($1::bigint[], $2::timestamptz[]) AS n (id, after_at) WHERE g.id = n.id
"""
_FIND_OVERDUE = """
SELECT s.monitor_id, s.location, m.revision, s.interval_s, s.phase_s, b.after_at,
       to_timestamp(b.until_s - (b.until_s - s.phase_s) % s.interval_s) AS until_at
FROM schedules AS s
JOIN confirmations AS f ON f.monitor_id = s.monitor_id AND f.location = s.location
JOIN monitors AS m ON m.id = s.monitor_id
CROSS JOIN LATERAL (SELECT greatest(s.since_at, f.ticked_at) AS after_at,
                           floor(extract(epoch FROM $1::timestamptz))::bigint - s.interval_s AS until_s) AS b
WHERE s.active AND b.after_at < $1::timestamptz - make_interval(secs => 2 * s.interval_s)
ORDER BY s.monitor_id, s.location LIMIT $2 FOR UPDATE OF s
"""
# The tick's instant is plain arithmetic on the epoch second: congruent to the phase, modulo the interval.
_RECORD_MISSED = """
WITH given AS (
    SELECT *, floor(extract(epoch FROM after_at))::bigint AS after_s, floor(extract(epoch FROM until_at))::bigint AS until_s
    FROM unnest($1::uuid[], $2::text[], $3::int[], $4::int[], $5::int[], $6::timestamptz[], $7::timestamptz[])
         AS n (monitor_id, location, revision, interval_s, phase_s, after_at, until_at)
), added AS (
    INSERT INTO results (monitor_id, location, tick_at, origin, revision, interval_s, status, reason, detail,
                         started_at, duration_s, samples, hops, prober)
    SELECT monitor_id, location, to_timestamp(tick_s), 'tick', revision, interval_s, 'missed', 'no_result', '',
           to_timestamp(tick_s), 0, '{}', '[]', ''
    FROM given, generate_series(after_s - (after_s - phase_s) % interval_s + interval_s, until_s, interval_s) AS tick_s
    ON CONFLICT DO NOTHING
    RETURNING monitor_id, location, tick_at, interval_s
), newest AS (
    UPDATE confirmations AS f SET last_tick_at = greatest(f.last_tick_at, a.tick_at)
    FROM (SELECT monitor_id, location, max(tick_at) AS tick_at FROM added GROUP BY monitor_id, location) AS a
    WHERE f.monitor_id = a.monitor_id AND f.location = a.location
), stale AS (
    INSERT INTO rollups_stale (monitor_id, at)
    SELECT DISTINCT monitor_id, hour
    FROM added,
         generate_series(date_trunc('hour', tick_at, 'UTC'), tick_at + make_interval(secs => interval_s - 1), '1 hour') AS hour
    WHERE hour < $8
    ON CONFLICT DO NOTHING
)
SELECT count(*) FROM added
"""
_SET_TICKED = """
UPDATE confirmations AS f SET ticked_at = greatest(f.ticked_at, n.ticked_at)
FROM unnest($1::uuid[], $2::text[], $3::timestamptz[]) AS n (monitor_id, location, ticked_at)
WHERE f.monitor_id = n.monitor_id AND f.location = n.location
"""


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """The ticks of one grid later than `after_at` and not later than `until_at`."""

    monitor_id: str
    location: str
    revision: int
    interval_s: int
    phase_s: int
    after_at: datetime
    until_at: datetime
    id: int = 0


async def add(db: Db, gaps: Sequence[Gap]) -> None:
    if gaps:
        await db.run(_ADD, *_columns(gaps))


async def find_due(db: Db, until: datetime, limit: int) -> list[Gap]:
    """Returns the gaps that ended two intervals before `until`, oldest first."""
    return [Gap(**row) for row in await db.rows(_FIND_DUE, until, limit)]


async def find_overdue(db: Db, until: datetime, limit: int) -> list[Gap]:
    """Returns the ticks an interval older than `until`, of schedules silent for two; they are locked."""
    return [Gap(**row) for row in await db.rows(_FIND_OVERDUE, until, limit)]


async def record_missed(db: Db, gaps: Sequence[Gap], open_hour: datetime) -> int:
    """Records every tick without a result as missed; returns how many there were. Their partitions must exist."""
    return int(await db.value(_RECORD_MISSED, *_columns(gaps), open_hour)) if gaps else 0


async def delete(db: Db, gaps: Sequence[Gap]) -> None:
    await db.run(_DELETE, [gap.id for gap in gaps])


async def shorten(db: Db, gaps: Sequence[Gap]) -> None:
    """Lets stored gaps begin at the `after_at` that they have here."""
    await db.run(_SHORTEN, [gap.id for gap in gaps], [gap.after_at for gap in gaps])


async def set_ticked(db: Db, gaps: Sequence[Gap]) -> None:
    """Notes that the ticks of these gaps are accounted for."""
    await db.run(
        _SET_TICKED, [gap.monitor_id for gap in gaps], [gap.location for gap in gaps], [gap.until_at for gap in gaps]
    )


def _columns(gaps: Sequence[Gap]) -> tuple[list[object], ...]:
    names = ("monitor_id", "location", "revision", "interval_s", "phase_s", "after_at", "until_at")
    return tuple([getattr(gap, name) for gap in gaps] for name in names)
