"""How results become a state: pure functions of what is remembered and one more result.

A state moves only after confirmation. `unknown` and `missed` say nothing about the target, so they move nothing.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec.structs import replace

from libs.model.check import Origin, Result
from libs.model.confirmation import Confirmation, LocationStateChange
from libs.model.outcome import Status
from libs.model.state import StateStatus

FAILURES_TO_DOWN = 2
SUCCESSES_TO_UP = 1
SUCCESSES_TO_UP_FLAPPING = 2

_RUN_MAX = 9
_FLAPPING_WINDOW = 20
_FLAPPING_MASK = (1 << _FLAPPING_WINDOW) - 1
_FLAPPING_START = 0.30
_FLAPPING_STOP = 0.25
# The newest change weighs 1.2 and the oldest 0.8 (Icinga 2), so that a target that has calmed down is soon believed.
_FLAPPING_WEIGHTS = tuple(1.2 - 0.4 * age / (_FLAPPING_WINDOW - 1) for age in range(_FLAPPING_WINDOW))

_RECHECK_S_MAX = 10.0
_RECHECK_S_MIN = 1.0


def apply_result(memory: Confirmation, result: Result) -> tuple[Confirmation, LocationStateChange | None, bool]:
    """Returns what is remembered after `result`, the move that it confirms, and whether it wants a fast second look.

    A result that is not newer than the last one folded changes nothing: neither a late one nor a repeated one.
    """
    if result.status in (Status.UNKNOWN, Status.MISSED):
        return _apply_unjudged(memory, result)
    if memory.folded_at is not None and result.tick_at <= memory.folded_at:
        return memory, None, False
    if _is_steady(memory) and result.status is Status.UP:
        return replace(memory, folded_at=result.tick_at), None, False
    counted = _count_result(memory, result)
    after, move = _with_status(counted, _next_status(counted, memory.last_class), result)
    return after, move, _is_first_failure(after, result)


def note_tick(memory: Confirmation, result: Result, interval_s: int | None) -> Confirmation:
    """Returns `memory` with the newest result noted, and the newest tick if it is one of the grid of `interval_s`."""
    last_at, ticked_at = memory.last_tick_at, memory.ticked_at
    if last_at is None or result.tick_at > last_at:
        last_at = result.tick_at
    if result.origin is Origin.TICK and result.interval_s == interval_s:
        ticked_at = result.tick_at if ticked_at is None else max(ticked_at, result.tick_at)
    if last_at == memory.last_tick_at and ticked_at == memory.ticked_at:
        return memory
    return replace(memory, last_tick_at=last_at, ticked_at=ticked_at)


def recheck_at(result: Result) -> datetime | None:
    """Returns when a second look is due; None when the next tick comes as soon. The same result gives the same instant."""
    delay_s = max(_RECHECK_S_MIN, min(result.interval_s / 4, _RECHECK_S_MAX))
    taken_s = max(0.0, (result.started_at - result.tick_at).total_seconds()) + result.duration_s
    if result.origin is Origin.TICK and taken_s + delay_s >= result.interval_s:
        return None
    return result.tick_at + timedelta(seconds=min(taken_s, result.interval_s) + delay_s)


def aggregate(statuses: Sequence[StateStatus]) -> StateStatus:
    """Returns the status of a monitor over its locations: down when most of those that have judged say so."""
    judged = [status for status in statuses if status not in (StateStatus.UNKNOWN, StateStatus.PENDING)]
    if not judged:
        return StateStatus.UNKNOWN if StateStatus.UNKNOWN in statuses else StateStatus.PENDING
    down = judged.count(StateStatus.DOWN)
    if down * 2 > len(judged):
        return StateStatus.DOWN
    return StateStatus.DEGRADED if down or StateStatus.DEGRADED in judged else StateStatus.UP


def _apply_unjudged(memory: Confirmation, result: Result) -> tuple[Confirmation, LocationStateChange | None, bool]:
    if memory.status is not StateStatus.PENDING or result.status is not Status.UNKNOWN:
        return memory, None, False
    after, move = _with_status(memory, StateStatus.UNKNOWN, result)
    return after, move, False


def _is_steady(memory: Confirmation) -> bool:
    """Tells whether another success changes nothing: nearly always, so it is worth a short cut."""
    return memory.up_run == _RUN_MAX and memory.changes == 0 and memory.status is StateStatus.UP


def _count_result(memory: Confirmation, result: Result) -> Confirmation:
    up, down = result.status is Status.UP, result.status is Status.DOWN
    changed = memory.last_class not in ("", result.status)
    changes = (memory.changes << 1 | changed) & _FLAPPING_MASK
    return replace(
        memory,
        up_run=min(memory.up_run + 1, _RUN_MAX) if up else 0,
        down_run=min(memory.down_run + 1, _RUN_MAX) if down else 0,
        bad_run=0 if up else min(memory.bad_run + 1, _RUN_MAX),
        changes=changes,
        flapping=_is_flapping(changes, was_flapping=memory.flapping),
        last_class=result.status.value,
        folded_at=result.tick_at,
    )


def _is_flapping(changes: int, *, was_flapping: bool) -> bool:
    if changes == 0:
        return False
    share = sum(weight for age, weight in enumerate(_FLAPPING_WEIGHTS) if changes >> age & 1) / _FLAPPING_WINDOW
    return share > (_FLAPPING_STOP if was_flapping else _FLAPPING_START)


def _next_status(memory: Confirmation, class_before: str) -> StateStatus:
    up_after = SUCCESSES_TO_UP_FLAPPING if memory.flapping else SUCCESSES_TO_UP
    if memory.down_run >= FAILURES_TO_DOWN:
        return StateStatus.DOWN
    if memory.up_run >= up_after:
        return StateStatus.UP
    if memory.status is StateStatus.DOWN:
        better = memory.last_class != Status.DOWN and (up_after == 1 or class_before not in ("", Status.DOWN))
        return StateStatus.DEGRADED if better else StateStatus.DOWN
    return StateStatus.DEGRADED if memory.bad_run >= FAILURES_TO_DOWN else memory.status


def _with_status(
    memory: Confirmation, status: StateStatus, result: Result
) -> tuple[Confirmation, LocationStateChange | None]:
    if status is memory.status:
        return memory, None
    at = max(result.tick_at, memory.since_at)
    after = replace(memory, status=status, since_at=at, reason=result.reason)
    return after, LocationStateChange(old=memory.status, new=status, at=at, reason=result.reason)


def _is_first_failure(memory: Confirmation, result: Result) -> bool:
    """A second look never asks for a third: each first failure costs one check more, whatever the target does."""
    if result.origin is Origin.RECHECK or memory.status is StateStatus.DOWN:
        return False
    if result.status is Status.DOWN:
        return memory.down_run == 1
    return memory.bad_run == 1 and memory.status is not StateStatus.DEGRADED
