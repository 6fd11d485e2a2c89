"""Schedules that NATS must hold: read for publishing and marked as published."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from libs.model.check import Check
from libs.store.core.driver import Db, Row

ScheduleKey = tuple[str, str]  # monitor_id, location

_KEY_MIN: ScheduleKey = ("00000000-0000-0000-0000-000000000000", "")

_COLUMNS = """
s.monitor_id, s.location, s.active, s.shard, s.interval_s, s.phase_s, s.version, m.tenant_id, m.kind, m.revision,
m.timeout_s, m.spec
"""
# How far now is from the slot: NATS forgets the tick of a schedule that is replaced in the very second of its slot.
_SECONDS_SINCE_TICK = "(floor(extract(epoch FROM $1::timestamptz))::bigint - s.phase_s) % s.interval_s"
_PAGE_UNPUBLISHED = f"""
SELECT {_COLUMNS} FROM schedules AS s JOIN monitors AS m ON m.id = s.monitor_id
WHERE s.published_version <> s.version AND (s.monitor_id, s.location) > ($2, $3)
  AND (s.published_version = 0 OR NOT s.active OR {_SECONDS_SINCE_TICK} BETWEEN 1 AND s.interval_s - 3)
ORDER BY s.monitor_id, s.location LIMIT $4
"""  # noqa: S608 - constants only
_PAGE_OLDEST = f"""
SELECT {_COLUMNS} FROM schedules AS s JOIN monitors AS m ON m.id = s.monitor_id
WHERE s.published_at < $2 AND s.published_version = s.version AND s.active
  AND {_SECONDS_SINCE_TICK} BETWEEN least(s.interval_s / 4, 60) AND s.interval_s - 1 - least(s.interval_s / 4, 60)
ORDER BY s.published_at LIMIT $3
"""  # noqa: S608 - constants only
_GET_ACTIVE = f"""
SELECT {_COLUMNS} FROM unnest($1::uuid[], $2::text[]) AS n (monitor_id, location)
JOIN schedules AS s ON s.monitor_id = n.monitor_id AND s.location = n.location AND s.active
JOIN monitors AS m ON m.id = s.monitor_id
"""  # noqa: S608 - constants only
# Locked in the order in which commands and the sweep lock them, whatever the order in which they were published.
# A grid that was written moments ago begins when NATS has it for the first time, so that a slot in between is not called
# missed.
_SET_PUBLISHED = """
WITH n AS MATERIALIZED (
    SELECT s.monitor_id, s.location, given.version
    FROM unnest($1::uuid[], $2::text[], $3::bigint[]) AS given (monitor_id, location, version)
    JOIN schedules AS s USING (monitor_id, location)
    ORDER BY s.monitor_id, s.location FOR NO KEY UPDATE OF s
)
UPDATE schedules AS s
SET published_version = n.version, published_at = $4::timestamptz,
    since_at = CASE WHEN s.since_at > $4::timestamptz - interval '15 s'
                         AND (s.published_at IS NULL OR s.published_at < s.since_at)
                    THEN greatest(s.since_at, $4::timestamptz) ELSE s.since_at END
FROM n WHERE s.monitor_id = n.monitor_id AND s.location = n.location
"""
_DELETE_CANCELLED = """
DELETE FROM schedules AS s USING unnest($1::uuid[], $2::text[], $3::bigint[]) AS n (monitor_id, location, version)
WHERE s.monitor_id = n.monitor_id AND s.location = n.location AND s.version = n.version AND NOT s.active
"""
_RESET_PUBLISHED = "UPDATE schedules SET published_version = 0 WHERE published_version <> 0"
# What was published a moment ago is given time to tick.
_REPUBLISH = """
UPDATE schedules AS s SET version = s.version + 1
FROM unnest($1::uuid[], $2::text[]) AS n (monitor_id, location)
WHERE s.monitor_id = n.monitor_id AND s.location = n.location AND s.published_version = s.version
  AND s.published_at < $3::timestamptz - make_interval(secs => greatest(3 * s.interval_s, 60))
"""


class ScheduleRow(msgspec.Struct, frozen=True, kw_only=True):
    """One schedule with the check that it emits, or to be cancelled when it is not active."""

    check: Check
    active: bool
    shard: int
    phase_s: int
    version: int

    @property
    def key(self) -> ScheduleKey:
        return self.check.monitor_id, self.check.location


async def page_unpublished(db: Db, now: datetime, after: ScheduleKey | None, limit: int) -> list[ScheduleRow]:
    """Returns the next schedules behind `after` that NATS does not have in their present version."""
    return _to_rows(await db.rows(_PAGE_UNPUBLISHED, now, *(after or _KEY_MIN), limit))


async def page_oldest(db: Db, now: datetime, before: datetime, limit: int) -> list[ScheduleRow]:
    """Returns schedules that were published before `before` and are well away from their slot, oldest first."""
    return _to_rows(await db.rows(_PAGE_OLDEST, now, before, limit))


async def get_active(db: Db, keys: Iterable[ScheduleKey]) -> list[ScheduleRow]:
    """Returns those of the schedules that are active."""
    pairs = list(keys)
    return _to_rows(await db.rows(_GET_ACTIVE, [pair[0] for pair in pairs], [pair[1] for pair in pairs]))


async def set_published(db: Db, scheduled: Sequence[ScheduleRow], now: datetime) -> None:
    """Notes what NATS has. A row that was changed meanwhile has a newer version and is published again."""
    if scheduled:
        await db.run(_SET_PUBLISHED, *_version_columns(scheduled), now)


async def delete_cancelled(db: Db, scheduled: Sequence[ScheduleRow]) -> None:
    if scheduled:
        await db.run(_DELETE_CANCELLED, *_version_columns(scheduled))


async def reset_published(db: Db) -> int:
    """Has everything published again; returns how many schedules that are."""
    return await db.run(_RESET_PUBLISHED)


async def republish(db: Db, keys: Sequence[ScheduleKey], now: datetime) -> int:
    """Has silent schedules published again; returns how many."""
    return await db.run(_REPUBLISH, [key[0] for key in keys], [key[1] for key in keys], now)


def _version_columns(scheduled: Sequence[ScheduleRow]) -> tuple[list[str], list[str], list[int]]:
    return (
        [each.check.monitor_id for each in scheduled],
        [each.check.location for each in scheduled],
        [each.version for each in scheduled],
    )


def _to_rows(rows: Sequence[Row]) -> list[ScheduleRow]:
    return [
        ScheduleRow(
            check=Check(
                monitor_id=row["monitor_id"],
                tenant_id=row["tenant_id"],
                location=row["location"],
                kind=row["kind"],
                revision=row["revision"],
                interval_s=row["interval_s"],
                timeout_s=row["timeout_s"],
                spec=row["spec"],
            ),
            active=row["active"],
            shard=row["shard"],
            phase_s=row["phase_s"],
            version=row["version"],
        )
        for row in rows
    ]
