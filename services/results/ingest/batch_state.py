"""The pure half of the ingest: what a batch of results changes in what is remembered."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

import msgspec

from libs.model.check import Origin, Result
from libs.model.confirmation import Confirmation
from libs.model.ids import tick_id
from libs.model.outcome import Status
from libs.model.state import StateStatus
from libs.store.ingest.confirmations import ConfirmationUpdate
from libs.store.ingest.gaps import Gap
from libs.store.ingest.snapshots import MonitorSnapshot, TickGrid
from services.results.ingest.confirmation import aggregate, apply_result, note_tick, recheck_at

Key = tuple[str, str]  # monitor_id, location


class StateChange(msgspec.Struct, frozen=True, kw_only=True):
    """One change of the state of a monitor over all its locations."""

    monitor_id: str
    old: StateStatus
    new: StateStatus
    at: datetime
    reason: str
    cause: str  # the tick whose result confirmed it


class BatchState:
    """Takes new results one by one, oldest first, and adds up what follows from them."""

    def __init__(self, watched: Mapping[str, MonitorSnapshot]) -> None:
        self._snapshots = watched
        self._statuses: dict[str, StateStatus] = {}
        self._flapping_changed: set[str] = set()  # monitors with a location that began or ceased to flap
        self._confirmations: dict[Key, Confirmation] = {}
        self.gaps: list[Gap] = []
        self.state_changes: list[StateChange] = []
        self.rechecks: dict[Key, datetime] = {}

    def add(self, result: Result) -> None:
        """Takes one result that was not stored before, of a monitor that is known."""
        watched = self._snapshots[result.monitor_id]
        key = result.monitor_id, result.location
        memory = self._confirmation(watched, result.location)
        if memory is None:  # nobody watches from there any more
            return
        grid = watched.grids.get(result.location)
        if grid is not None and result.origin is Origin.TICK:
            self._add_gap(watched, memory, grid, result)
        memory = note_tick(memory, result, None if grid is None else grid.interval_s)
        # What an old revision found says nothing about the present one.
        if result.revision == watched.revision and watched.enabled:
            memory = self._apply_result(watched, key, memory, result)
        self._confirmations[key] = memory

    def confirmation_changes(self) -> list[ConfirmationUpdate]:
        """Returns the folds that changed."""
        return [
            ConfirmationUpdate(monitor_id, location, self._snapshots[monitor_id].confirmations[location], after)
            for (monitor_id, location), after in self._confirmations.items()
        ]

    def flapping(self) -> dict[str, bool]:
        """Returns the monitors that began or ceased to flap."""
        now = {
            each: any(memory.flapping for memory in self._all_confirmations(self._snapshots[each]))
            for each in self._flapping_changed
        }
        return {each: flapping for each, flapping in now.items() if flapping != self._snapshots[each].flapping}

    def _apply_result(self, watched: MonitorSnapshot, key: Key, memory: Confirmation, result: Result) -> Confirmation:
        after, move, wants_recheck = apply_result(memory, result)
        if after.flapping != memory.flapping:
            self._flapping_changed.add(watched.id)
        self._decide_recheck(key, result, wants_recheck=wants_recheck)
        if after.folded_at == result.tick_at or move is not None:
            self._confirmations[key] = after
            self._compare_state(watched, after, result)
        return after

    def _decide_recheck(self, key: Key, result: Result, *, wants_recheck: bool) -> None:
        at = recheck_at(result) if wants_recheck else None
        if at is not None:
            self.rechecks[key] = at
        elif result.status not in (Status.UNKNOWN, Status.MISSED):
            self.rechecks.pop(key, None)  # a newer result in the same batch has answered it

    def _compare_state(self, watched: MonitorSnapshot, memory: Confirmation, result: Result) -> None:
        """Compares with the state, not with the move: locations may have come or gone since."""
        old = self._statuses.get(watched.id, watched.status)
        new = memory.status
        if len(watched.locations) > 1:
            new = aggregate([each.status for each in self._all_confirmations(watched)])
        if new is not old:
            self._statuses[watched.id] = new
            cause = tick_id(watched.id, result.location, result.tick_at)
            turn = StateChange(
                monitor_id=watched.id, old=old, new=new, at=result.tick_at, reason=result.reason, cause=cause
            )
            self.state_changes.append(turn)

    def _add_gap(self, watched: MonitorSnapshot, memory: Confirmation, grid: TickGrid, result: Result) -> None:
        base = _later(grid.since_at, memory.ticked_at)
        if result.interval_s == grid.interval_s and result.tick_at > base + timedelta(seconds=grid.interval_s):
            gap = Gap(
                monitor_id=watched.id,
                location=result.location,
                revision=watched.revision,
                interval_s=grid.interval_s,
                phase_s=grid.phase_s,
                after_at=base,
                until_at=result.tick_at,
            )
            self.gaps.append(gap)

    def _all_confirmations(self, watched: MonitorSnapshot) -> Iterable[Confirmation]:
        found = (self._confirmation(watched, location) for location in watched.locations)
        return [memory for memory in found if memory is not None]

    def _confirmation(self, watched: MonitorSnapshot, location: str) -> Confirmation | None:
        return self._confirmations.get((watched.id, location)) or watched.confirmations.get(location)


def _later(a: datetime, b: datetime | None) -> datetime:
    return a if b is None or b < a else b
