"""Confirmation state of each monitor at each location; written with every batch of results."""

from collections.abc import Sequence
from typing import NamedTuple

from libs.model.confirmation import Confirmation
from libs.store.core.driver import Db

_SAVE_TICKS = """
UPDATE confirmations AS f SET folded_at = n.folded_at, ticked_at = n.ticked_at, last_tick_at = n.last_tick_at
FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[])
     AS n (monitor_id, location, folded_at, ticked_at, last_tick_at)
WHERE f.monitor_id = n.monitor_id AND f.location = n.location
"""
_SAVE = """
UPDATE confirmations AS f
SET folded_at = n.folded_at, ticked_at = n.ticked_at, last_tick_at = n.last_tick_at, status = n.status,
    since_at = n.since_at, reason = n.reason, down_run = n.down_run, bad_run = n.bad_run, up_run = n.up_run,
    changes = n.changes, flapping = n.flapping, last_class = n.last_class
FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[], $6::text[],
            $7::timestamptz[], $8::text[], $9::int[], $10::int[], $11::int[], $12::int[], $13::bool[], $14::text[])
     AS n (monitor_id, location, folded_at, ticked_at, last_tick_at, status, since_at, reason, down_run, bad_run,
           up_run, changes, flapping, last_class)
WHERE f.monitor_id = n.monitor_id AND f.location = n.location
"""


class ConfirmationUpdate(NamedTuple):
    """One fold as it was and as it is to be."""

    monitor_id: str
    location: str
    before: Confirmation
    after: Confirmation


async def save(db: Db, changes: Sequence[ConfirmationUpdate]) -> None:
    """Writes the changed confirmations. Most differ only in their marks, which is cheaper."""
    marked = [each for each in changes if _only_ticks_differ(each.before, each.after)]
    if marked:
        await db.run(_SAVE_TICKS, *_tick_columns(marked))
    if len(marked) < len(changes):
        saved = [each for each in changes if not _only_ticks_differ(each.before, each.after)]
        await db.run(_SAVE, *_tick_columns(saved), *_state_columns(saved))


def _tick_columns(changes: Sequence[ConfirmationUpdate]) -> tuple[list[object], ...]:
    return (
        [each.monitor_id for each in changes],
        [each.location for each in changes],
        [each.after.folded_at for each in changes],
        [each.after.ticked_at for each in changes],
        [each.after.last_tick_at for each in changes],
    )


def _state_columns(changes: Sequence[ConfirmationUpdate]) -> tuple[list[object], ...]:
    names = ("status", "since_at", "reason", "down_run", "bad_run", "up_run", "changes", "flapping", "last_class")
    return tuple([getattr(each.after, name) for each in changes] for name in names)


def _only_ticks_differ(a: Confirmation, b: Confirmation) -> bool:
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
