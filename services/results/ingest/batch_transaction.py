"""The transaction that stores one batch of results.

`store_batch` runs its steps in order: load the monitors, insert the rows, apply each new result to the confirmation
of its location (`BatchState`, pure), then write confirmations, gaps, state changes (`state_changes.py`) and rechecks.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from libs.bus import schedules as bus_schedules
from libs.model.check import Origin, Result
from libs.model.confirmation import Confirmation
from libs.model.ids import tick_id
from libs.model.outcome import Status
from libs.model.state import StateStatus
from libs.store.core import outbox
from libs.store.core.driver import Db
from libs.store.core.locks import AdvisoryLock, acquire
from libs.store.ingest import confirmations, gaps, results, snapshots, state_changes
from libs.store.ingest.confirmations import ConfirmationUpdate
from libs.store.ingest.gaps import Gap
from libs.store.ingest.snapshots import MonitorSnapshot, TickGrid
from libs.store.monitors import schedules
from services.results.ingest.confirmation import aggregate, apply_result, note_tick, recheck_at
from services.results.ingest.state_changes import StateChange, record_state_changes
from services.results.outbox_publisher import outbox_message

Key = tuple[str, str]  # monitor_id, location

_RECHECK_AGE_MAX = timedelta(seconds=30)


class StoredBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Outcome of a batch after its commit."""

    foreign: list[Result]  # name another tenant than the monitor's; not stored
    dropped: int  # of deleted monitors
    repeated: int  # stored before
    statuses: Mapping[str, int]  # stored results by status
    state_changes: Sequence[StateChange]
    has_messages: bool  # whether the outbox got messages


async def store_batch(db: Db, batch: Sequence[Result], now: datetime) -> StoredBatch:
    """Stores a batch inside the transaction of `db`. Call it again, with a new transaction, after a rollback."""
    # Commands that change a monitor take the same lock, so that the snapshots stay true until the commit.
    await acquire(db, AdvisoryLock.MONITOR_STATE)
    known = await snapshots.load(db, sorted({result.monitor_id for result in batch}))
    wanted, foreign, dropped = _select(batch, known)
    new = await results.add(db, wanted) if wanted else []

    state = BatchState(known)
    for result in sorted(new, key=_tick_at):
        state.add(result)
    await confirmations.save(db, state.confirmation_changes())
    # The hours of these ticks may be rolled up already.
    present_hour = open_hour(now)
    late = [each for each in new if each.tick_at < present_hour and each.origin is Origin.TICK]
    await results.mark_stale(db, late, present_hour)
    await gaps.add(db, state.gaps)
    await state_changes.set_flapping(db, list(state.flapping().items()))
    await record_state_changes(db, state.state_changes)
    await _schedule_rechecks(db, state, now)
    return StoredBatch(
        foreign=foreign,
        dropped=dropped,
        repeated=len(batch) - len(foreign) - dropped - len(new),
        statuses=Counter(result.status for result in new),
        state_changes=state.state_changes,
        has_messages=bool(state.state_changes or state.rechecks),
    )


def open_hour(now: datetime) -> datetime:
    """Returns the start of the current hour, the first one that cannot be rolled up yet."""
    return now.replace(minute=0, second=0, microsecond=0)


def _select(batch: Sequence[Result], known: Mapping[str, MonitorSnapshot]) -> tuple[list[Result], list[Result], int]:
    """Returns the results to store, one for each tick, those of another tenant's monitors, and how many have none."""
    wanted: dict[results.ResultKey, Result] = {}
    foreign: list[Result] = []
    dropped = 0
    for result in batch:
        monitor = known.get(result.monitor_id)
        if monitor is None:
            dropped += 1
        elif monitor.tenant_id != result.tenant_id:
            foreign.append(result)
        else:
            key = results.result_key(result)
            other = wanted.get(key)
            if other is None or other.status is Status.MISSED:
                wanted[key] = result
    return list(wanted.values()), foreign, dropped


async def _schedule_rechecks(db: Db, state: "BatchState", now: datetime) -> None:
    """Puts rechecks into the outbox, except those of a backlog, which newer ticks have made superfluous."""
    wanted = {key: at for key, at in state.rechecks.items() if at > now - _RECHECK_AGE_MAX}
    if not wanted:
        return
    found = await schedules.get_active(db, wanted)
    messages = [bus_schedules.recheck(each.check, each.shard, wanted[each.key]) for each in found]
    await outbox.add(db, [outbox_message(message) for message in messages])


class BatchState:
    """Changes that follow from the new results of a batch. Pure: reads snapshots, collects what is to be written."""

    def __init__(self, monitors: Mapping[str, MonitorSnapshot]) -> None:
        self._snapshots = monitors
        self._statuses: dict[str, StateStatus] = {}
        self._flapping_changed: set[str] = set()  # monitors with a location whose flapping began or ended
        self._confirmations: dict[Key, Confirmation] = {}
        self.gaps: list[Gap] = []
        self.state_changes: list[StateChange] = []
        self.rechecks: dict[Key, datetime] = {}

    def add(self, result: Result) -> None:
        """Adds one result that was not stored before, of a known monitor. Call it in the order of ticks."""
        monitor = self._snapshots[result.monitor_id]
        before = self._confirmation(monitor, result.location)
        if before is None:  # the location was removed from the monitor
            return
        key = result.monitor_id, result.location
        grid = monitor.grids.get(result.location)
        if grid is not None and result.origin is Origin.TICK:
            self._add_gap(monitor, before, grid, result)
        noted = note_tick(before, result, None if grid is None else grid.interval_s)
        if result.revision != monitor.revision or not monitor.enabled:
            self._confirmations[key] = noted  # a result of an old revision is no verdict on the present one
            return
        after, change, wants_recheck = apply_result(noted, result)
        self._confirmations[key] = after
        if after.flapping != noted.flapping:
            self._flapping_changed.add(monitor.id)
        self._decide_recheck(key, result, wants_recheck=wants_recheck)
        if after.folded_at == result.tick_at or change is not None:
            self._compare_state(monitor, after, result)

    def confirmation_changes(self) -> list[ConfirmationUpdate]:
        """Returns the confirmations of every location that got a result, before and after the batch."""
        return [
            ConfirmationUpdate(monitor_id, location, self._snapshots[monitor_id].confirmations[location], after)
            for (monitor_id, location), after in self._confirmations.items()
        ]

    def flapping(self) -> dict[str, bool]:
        """Returns the monitors whose flapping began or ended, with the new value."""
        now = {
            each: any(confirmation.flapping for confirmation in self._all_confirmations(self._snapshots[each]))
            for each in self._flapping_changed
        }
        return {each: flapping for each, flapping in now.items() if flapping != self._snapshots[each].flapping}

    def _decide_recheck(self, key: Key, result: Result, *, wants_recheck: bool) -> None:
        at = recheck_at(result) if wants_recheck else None
        if at is not None:
            self.rechecks[key] = at
        elif result.status not in (Status.UNKNOWN, Status.MISSED):
            self.rechecks.pop(key, None)  # a newer result of the same batch serves as the recheck

    def _compare_state(self, monitor: MonitorSnapshot, confirmation: Confirmation, result: Result) -> None:
        """Compares with the state of the monitor, not with the change here: its locations may have changed since."""
        old = self._statuses.get(monitor.id, monitor.status)
        new = confirmation.status
        if len(monitor.locations) > 1:
            new = aggregate([each.status for each in self._all_confirmations(monitor)])
        if new is not old:
            self._statuses[monitor.id] = new
            cause = tick_id(monitor.id, result.location, result.tick_at)
            change = StateChange(
                monitor_id=monitor.id, old=old, new=new, at=result.tick_at, reason=result.reason, cause=cause
            )
            self.state_changes.append(change)

    def _add_gap(self, monitor: MonitorSnapshot, confirmation: Confirmation, grid: TickGrid, result: Result) -> None:
        base = grid.since_at if confirmation.ticked_at is None else max(grid.since_at, confirmation.ticked_at)
        if result.interval_s == grid.interval_s and result.tick_at > base + timedelta(seconds=grid.interval_s):
            gap = Gap(
                monitor_id=monitor.id,
                location=result.location,
                revision=monitor.revision,
                interval_s=grid.interval_s,
                phase_s=grid.phase_s,
                after_at=base,
                until_at=result.tick_at,
            )
            self.gaps.append(gap)

    def _all_confirmations(self, monitor: MonitorSnapshot) -> Iterable[Confirmation]:
        found = (self._confirmation(monitor, location) for location in monitor.locations)
        return [confirmation for confirmation in found if confirmation is not None]

    def _confirmation(self, monitor: MonitorSnapshot, location: str) -> Confirmation | None:
        return self._confirmations.get((monitor.id, location)) or monitor.confirmations.get(location)


def _tick_at(result: Result) -> datetime:
    return result.tick_at
