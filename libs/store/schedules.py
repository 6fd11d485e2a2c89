"""What should be ticking in NATS: read to be published, and marked when it is."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from libs.model.check import Check
from libs.store.driver import Db, Row

Key = tuple[str, str]  # monitor_id, location

_START: Key = ("00000000-0000-0000-0000-000000000000", "")

_COLUMNS = """
s.monitor_id, s.location, s.active, s.shard, s.interval_s, s.phase_s, s.version, m.tenant_id, m.kind, m.revision,
m.timeout_s, m.spec
"""
# How far now is from the slot: NATS forgets the tick of a schedule that is replaced in the very second of its slot.
_PAST_SLOT = "(floor(extract(epoch FROM $1::timestamptz))::bigint - s.phase_s) % s.interval_s"
_UNPUBLISHED = f"""
SELECT {_COLUMNS} FROM schedules AS s JOIN monitors AS m ON m.id = s.monitor_id
WHERE s.published_version <> s.version AND (s.monitor_id, s.location) > ($2, $3)
  AND (s.published_version = 0 OR NOT s.active OR {_PAST_SLOT} BETWEEN 1 AND s.interval_s - 3)
ORDER BY s.monitor_id, s.location LIMIT $4
"""  # noqa: S608 - constants only
_OLDEST = f"""
SELECT {_COLUMNS} FROM schedules AS s JOIN monitors AS m ON m.id = s.monitor_id
WHERE s.published_at < $2 AND s.published_version = s.version AND s.active
  AND {_PAST_SLOT} BETWEEN least(s.interval_s / 4, 60) AND s.interval_s - 1 - least(s.interval_s / 4, 60)
ORDER BY s.published_at LIMIT $3
"""  # noqa: S608 - constants only
_SOME = f"""
SELECT {_COLUMNS} FROM unnest($1::uuid[], $2::text[]) AS n (monitor_id, location)
JOIN schedules AS s ON s.monitor_id = n.monitor_id AND s.location = n.location AND s.active
JOIN monitors AS m ON m.id = s.monitor_id
"""  # noqa: S608 - constants only
# Locked in the order in which commands and the sweep lock them, whatever the order in which they were published.
# A grid that was written moments ago begins when NATS has it for the first time, so that a slot in between is not called
# missed.
_PUBLISHED = """
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
_CANCELLED = """
DELETE FROM schedules AS s USING unnest($1::uuid[], $2::text[], $3::bigint[]) AS n (monitor_id, location, version)
WHERE s.monitor_id = n.monitor_id AND s.location = n.location AND s.version = n.version AND NOT s.active
"""
_FORGET = "UPDATE schedules SET published_version = 0 WHERE published_version <> 0"
# What was published a moment ago is given time to tick.
_REPEAT = """
UPDATE schedules AS s SET version = s.version + 1
FROM unnest($1::uuid[], $2::text[]) AS n (monitor_id, location)
WHERE s.monitor_id = n.monitor_id AND s.location = n.location AND s.published_version = s.version
  AND s.published_at < $3::timestamptz - make_interval(secs => greatest(3 * s.interval_s, 60))
"""


class Scheduled(msgspec.Struct, frozen=True, kw_only=True):
    """One schedule with the check that it emits, or to be cancelled when it is not active."""

    check: Check
    active: bool
    shard: int
    phase_s: int
    version: int

    @property
    def key(self) -> Key:
        return self.check.monitor_id, self.check.location


async def unpublished(db: Db, now: datetime, after: Key | None, limit: int) -> list[Scheduled]:
    """Returns the next schedules behind `after` that NATS does not have in their present version."""
    return _scheduled(await db.rows(_UNPUBLISHED, now, *(after or _START), limit))


async def oldest(db: Db, now: datetime, before: datetime, limit: int) -> list[Scheduled]:
    """Returns schedules that were published before `before` and are well away from their slot, oldest first."""
    return _scheduled(await db.rows(_OLDEST, now, before, limit))


async def of(db: Db, keys: Iterable[Key]) -> list[Scheduled]:
    """Returns those of the schedules that are active."""
    pairs = list(keys)
    return _scheduled(await db.rows(_SOME, [pair[0] for pair in pairs], [pair[1] for pair in pairs]))


async def set_published(db: Db, scheduled: Sequence[Scheduled], now: datetime) -> None:
    """Notes what NATS has. A row that was changed meanwhile has a newer version and is published again."""
    if scheduled:
        await db.run(_PUBLISHED, *_versions(scheduled), now)


async def delete_cancelled(db: Db, scheduled: Sequence[Scheduled]) -> None:
    if scheduled:
        await db.run(_CANCELLED, *_versions(scheduled))


async def forget_published(db: Db) -> int:
    """Has everything published again; returns how many schedules that are."""
    return await db.run(_FORGET)


async def repeat(db: Db, keys: Sequence[Key], now: datetime) -> int:
    """Has silent schedules published again; returns how many."""
    return await db.run(_REPEAT, [key[0] for key in keys], [key[1] for key in keys], now)


def _versions(scheduled: Sequence[Scheduled]) -> tuple[list[str], list[str], list[int]]:
    return (
        [each.check.monitor_id for each in scheduled],
        [each.check.location for each in scheduled],
        [each.version for each in scheduled],
    )


def _scheduled(rows: Sequence[Row]) -> list[Scheduled]:
    return [
        Scheduled(
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
