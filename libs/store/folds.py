"""What confirmation remembers of each monitor at each location; read and written for every batch of results."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from libs.model.fold import Fold
from libs.model.state import StateStatus
from libs.store.driver import Db, Row

Key = tuple[str, str]  # monitor_id, location

# All locations of a monitor are locked together and in one order, so that no two transactions wait for each other.
_LOCK = """
SELECT monitor_id, location, status, since_at, reason, down_run, bad_run, up_run, changes, flapping, last_class,
       folded_at, ticked_at, last_tick_at
FROM folds WHERE monitor_id = ANY($1::uuid[]) ORDER BY monitor_id, location FOR UPDATE
"""
_MARK = """
UPDATE folds AS f SET folded_at = n.folded_at, ticked_at = n.ticked_at, last_tick_at = n.last_tick_at
FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[])
     AS n (monitor_id, location, folded_at, ticked_at, last_tick_at)
WHERE f.monitor_id = n.monitor_id AND f.location = n.location
"""
_SAVE = """
UPDATE folds AS f
SET folded_at = n.folded_at, ticked_at = n.ticked_at, last_tick_at = n.last_tick_at, status = n.status,
    since_at = n.since_at, reason = n.reason, down_run = n.down_run, bad_run = n.bad_run, up_run = n.up_run,
    changes = n.changes, flapping = n.flapping, last_class = n.last_class
FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[], $6::text[],
            $7::timestamptz[], $8::text[], $9::int[], $10::int[], $11::int[], $12::int[], $13::bool[], $14::text[])
     AS n (monitor_id, location, folded_at, ticked_at, last_tick_at, status, since_at, reason, down_run, bad_run,
           up_run, changes, flapping, last_class)
WHERE f.monitor_id = n.monitor_id AND f.location = n.location
"""

_STATUSES = {status.value: status for status in StateStatus}


async def lock(db: Db, monitor_ids: Sequence[str]) -> dict[Key, Fold]:
    """Returns the folds of these monitors at all their locations, locked until the transaction ends."""
    return {(row["monitor_id"], row["location"]): _fold(row) for row in await db.rows(_LOCK, monitor_ids)}


async def save(db: Db, before: Mapping[Key, Fold], after: Mapping[Key, Fold]) -> None:
    """Writes the folds `after`. Most differ from those `before` only in their marks, which is cheaper."""
    marked = {key: fold for key, fold in after.items() if _same_but_marks(before[key], fold)}
    if marked:
        await db.run(_MARK, *_marks(marked))
    saved = {key: fold for key, fold in after.items() if key not in marked}
    if saved:
        await db.run(_SAVE, *_marks(saved), *_rest(list(saved.values())))


def _marks(folds: Mapping[Key, Fold]) -> tuple[list[str], list[str], list[datetime | None], *tuple[object, ...]]:
    return (
        [key[0] for key in folds],
        [key[1] for key in folds],
        [fold.folded_at for fold in folds.values()],
        [fold.ticked_at for fold in folds.values()],
        [fold.last_tick_at for fold in folds.values()],
    )


def _rest(folds: Sequence[Fold]) -> tuple[list[object], ...]:
    names = ("status", "since_at", "reason", "down_run", "bad_run", "up_run", "changes", "flapping", "last_class")
    return tuple([getattr(fold, name) for fold in folds] for name in names)


def _same_but_marks(a: Fold, b: Fold) -> bool:
    return (
        a.up_run == b.up_run
        and a.changes == b.changes
        and a.last_class == b.last_class
        and a.status is b.status
        and a.down_run == b.down_run
        and a.bad_run == b.bad_run
        and a.flapping == b.flapping
        and a.reason == b.reason
        and a.since_at == b.since_at
    )


def _fold(row: Row) -> Fold:
    return Fold(
        status=_STATUSES[row["status"]],
        since_at=row["since_at"],
        reason=row["reason"],
        down_run=row["down_run"],
        bad_run=row["bad_run"],
        up_run=row["up_run"],
        changes=row["changes"],
        flapping=row["flapping"],
        last_class=row["last_class"],
        folded_at=row["folded_at"],
        ticked_at=row["ticked_at"],
        last_tick_at=row["last_tick_at"],
    )
