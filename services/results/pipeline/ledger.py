"""The pure half of the ingest: what a batch of results changes in what is remembered."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

import msgspec

from libs.model.check import Origin, Result
from libs.model.fold import Fold
from libs.model.ids import tick_id
from libs.model.outcome import Status
from libs.model.state import StateStatus
from libs.store.folds import Change
from libs.store.gaps import Gap
from libs.store.watched import Grid, Watched
from services.results.pipeline.fold import aggregate, fold, mark, recheck_at

Key = tuple[str, str]  # monitor_id, location


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One change of the state of a monitor over all its locations."""

    monitor_id: str
    old: StateStatus
    new: StateStatus
    at: datetime
    reason: str
    cause: str  # the tick whose result confirmed it


class Ledger:
    """Takes new results one by one, oldest first, and adds up what follows from them."""

    def __init__(self, watched: Mapping[str, Watched]) -> None:
        self._watched = watched
        self._statuses: dict[str, StateStatus] = {}
        self._restless: set[str] = set()  # monitors with a location that began or ceased to flap
        self._folds: dict[Key, Fold] = {}
        self.gaps: list[Gap] = []
        self.turns: list[Turn] = []
        self.rechecks: dict[Key, datetime] = {}

    def add(self, result: Result) -> None:
        """Takes one result that was not stored before, of a monitor that is known."""
        watched = self._watched[result.monitor_id]
        key = result.monitor_id, result.location
        memory = self._memory(watched, result.location)
        if memory is None:  # nobody watches from there any more
            return
        grid = watched.grids.get(result.location)
        if grid is not None and result.origin is Origin.TICK:
            self._note_gap(watched, memory, grid, result)
        memory = mark(memory, result, None if grid is None else grid.interval_s)
        # What an old revision found says nothing about the present one.
        if result.revision == watched.revision and watched.enabled:
            memory = self._fold(watched, key, memory, result)
        self._folds[key] = memory

    def changes(self) -> list[Change]:
        """Returns the folds that changed."""
        return [
            Change(monitor_id, location, self._watched[monitor_id].folds[location], after)
            for (monitor_id, location), after in self._folds.items()
        ]

    def flapping(self) -> dict[str, bool]:
        """Returns the monitors that began or ceased to flap."""
        now = {each: any(memory.flapping for memory in self._memories(self._watched[each])) for each in self._restless}
        return {each: flapping for each, flapping in now.items() if flapping != self._watched[each].flapping}

    def _fold(self, watched: Watched, key: Key, memory: Fold, result: Result) -> Fold:
        after, move, wants_recheck = fold(memory, result)
        if after.flapping != memory.flapping:
            self._restless.add(watched.id)
        self._decide_recheck(key, result, wants_recheck=wants_recheck)
        if after.folded_at == result.tick_at or move is not None:
            self._folds[key] = after
            self._turn(watched, after, result)
        return after

    def _decide_recheck(self, key: Key, result: Result, *, wants_recheck: bool) -> None:
        at = recheck_at(result) if wants_recheck else None
        if at is not None:
            self.rechecks[key] = at
        elif result.status not in (Status.UNKNOWN, Status.MISSED):
            self.rechecks.pop(key, None)  # a newer result in the same batch has answered it

    def _turn(self, watched: Watched, memory: Fold, result: Result) -> None:
        """Compares with the state, not with the move: locations may have come or gone since."""
        old = self._statuses.get(watched.id, watched.status)
        new = memory.status
        if len(watched.locations) > 1:
            new = aggregate([each.status for each in self._memories(watched)])
        if new is not old:
            self._statuses[watched.id] = new
            cause = tick_id(watched.id, result.location, result.tick_at)
            turn = Turn(monitor_id=watched.id, old=old, new=new, at=result.tick_at, reason=result.reason, cause=cause)
            self.turns.append(turn)

    def _note_gap(self, watched: Watched, memory: Fold, grid: Grid, result: Result) -> None:
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

    def _memories(self, watched: Watched) -> Iterable[Fold]:
        found = (self._memory(watched, location) for location in watched.locations)
        return [memory for memory in found if memory is not None]

    def _memory(self, watched: Watched, location: str) -> Fold | None:
        return self._folds.get((watched.id, location)) or watched.folds.get(location)


def _later(a: datetime, b: datetime | None) -> datetime:
    return a if b is None or b < a else b
