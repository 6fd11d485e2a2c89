"""Results: inserted in bulk, by COPY where no row exists yet."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from libs.model.check import Result
from libs.store.core.driver import Db
from libs.store.core.errors import DuplicateError

ResultKey = tuple[str, str, datetime]  # monitor_id, location, tick_at

_COLUMNS = (
    *("monitor_id", "location", "tick_at", "origin", "revision", "interval_s", "status", "reason", "detail"),
    *("started_at", "duration_s", "samples", "hops", "prober"),
)

# A row that is there stays, but for a tick that was given up as missed and whose result came after all.
_MERGE = """
INSERT INTO results AS r (monitor_id, location, tick_at, origin, revision, interval_s, status, reason, detail,
                          started_at, duration_s, samples, hops, prober)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::text[], $5::int[], $6::int[], $7::text[], $8::text[],
                     $9::text[], $10::timestamptz[], $11::float8[], $12::json[], $13::json[], $14::text[])
ON CONFLICT (monitor_id, tick_at, location) DO UPDATE
SET origin = excluded.origin, revision = excluded.revision, interval_s = excluded.interval_s, status = excluded.status,
    reason = excluded.reason, detail = excluded.detail, started_at = excluded.started_at,
    duration_s = excluded.duration_s, samples = excluded.samples, hops = excluded.hops, prober = excluded.prober
WHERE r.status = 'missed' AND excluded.status <> 'missed'
RETURNING monitor_id, location, tick_at
"""

# Every hour into which the time of these ticks reaches and that has closed before $4.
_MARK_STALE = """
INSERT INTO rollups_stale (monitor_id, at)
SELECT DISTINCT monitor_id, hour
FROM unnest($1::uuid[], $2::timestamptz[], $3::int[]) AS n (monitor_id, tick_at, interval_s),
     generate_series(date_trunc('hour', tick_at, 'UTC'), tick_at + make_interval(secs => interval_s - 1), '1 hour') AS hour
WHERE hour < $4
ON CONFLICT DO NOTHING
"""

_encode = msgspec.json.Encoder().encode


def result_key(result: Result) -> ResultKey:
    return result.monitor_id, result.location, result.tick_at


async def add(db: Db, results: Sequence[Result]) -> Sequence[Result]:
    """Stores results with distinct keys; returns those that were not stored before."""
    records = [_to_record(result) for result in results]
    try:
        async with db.transaction():
            await db.copy("results", _COLUMNS, records)
    except DuplicateError:
        return await _merge(db, results, records)
    return results


async def mark_stale(db: Db, results: Sequence[Result], open_hour: datetime) -> None:
    """Has the closed hours rolled up again to which these ticks, which came late, belong."""
    if results:
        await db.run(
            _MARK_STALE,
            [result.monitor_id for result in results],
            [result.tick_at for result in results],
            [result.interval_s for result in results],
            open_hour,
        )


async def _merge(db: Db, results: Sequence[Result], records: Sequence[Sequence[object]]) -> list[Result]:
    columns = [list(column) for column in zip(*records, strict=True)]
    stored = {(row["monitor_id"], row["location"], row["tick_at"]) for row in await db.rows(_MERGE, *columns)}
    return [result for result in results if result_key(result) in stored]


def _to_record(result: Result) -> tuple[object, ...]:
    return (
        result.monitor_id,
        result.location,
        result.tick_at,
        result.origin,
        result.revision,
        result.interval_s,
        result.status,
        result.reason,
        result.detail,
        result.started_at,
        result.duration_s,
        _encode(result.samples),
        _encode(result.hops),
        result.prober,
    )
