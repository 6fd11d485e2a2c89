"""Confirmation rules: pure functions of the confirmation state of a location and one more result.

A state changes only when as many like results confirm it as the constants below require. `unknown` and `missed` are no
evidence about the target and change nothing, except that a pending location becomes `unknown`.
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
# The newest change weighs 1.2 and the oldest 0.8 (Icinga 2), so that flapping ends soon after the last change.
_FLAPPING_WEIGHTS = tuple(1.2 - 0.4 * age / (_FLAPPING_WINDOW - 1) for age in range(_FLAPPING_WINDOW))

_RECHECK_S_MAX = 10.0
_RECHECK_S_MIN = 1.0


def apply_result(confirmation: Confirmation, result: Result) -> tuple[Confirmation, LocationStateChange | None, bool]:
    """Returns the confirmation after `result`, the state change that it confirms, and whether to recheck soon.

    A result that is not newer than the last one applied, late or repeated, changes nothing.
    """
    if result.status in (Status.UNKNOWN, Status.MISSED):
        return _apply_unjudged(confirmation, result)
    if confirmation.folded_at is not None and result.tick_at <= confirmation.folded_at:
        return confirmation, None, False
    if _is_steady(confirmation) and result.status is Status.UP:
        return replace(confirmation, folded_at=result.tick_at), None, False
    counted = _count_result(confirmation, result)
    after, change = _with_status(counted, _next_status(counted, confirmation.last_class), result)
    return after, change, _is_first_failure(after, result)


def note_tick(confirmation: Confirmation, result: Result, interval_s: int | None) -> Confirmation:
    """Moves `last_tick_at` forward for any result, `ticked_at` only for a scheduled tick of the present interval.

    Missed ticks are counted from `ticked_at`. Never moves either back.
    """
    last_at, ticked_at = confirmation.last_tick_at, confirmation.ticked_at
    if last_at is None or result.tick_at > last_at:
        last_at = result.tick_at
    if result.origin is Origin.TICK and result.interval_s == interval_s:
        ticked_at = result.tick_at if ticked_at is None else max(ticked_at, result.tick_at)
    if last_at == confirmation.last_tick_at and ticked_at == confirmation.ticked_at:
        return confirmation
    return replace(confirmation, last_tick_at=last_at, ticked_at=ticked_at)


def recheck_at(result: Result) -> datetime | None:
    """Returns the time of a recheck, the same for the same result; None if the next tick is as soon."""
    delay_s = max(_RECHECK_S_MIN, min(result.interval_s / 4, _RECHECK_S_MAX))
    taken_s = max(0.0, (result.started_at - result.tick_at).total_seconds()) + result.duration_s
    if result.origin is Origin.TICK and taken_s + delay_s >= result.interval_s:
        return None
    return result.tick_at + timedelta(seconds=min(taken_s, result.interval_s) + delay_s)


def aggregate(statuses: Sequence[StateStatus]) -> StateStatus:
    """Returns the status of a monitor over its locations: down if the majority of those with a verdict are down."""
    judged = [status for status in statuses if status not in (StateStatus.UNKNOWN, StateStatus.PENDING)]
    if not judged:
        return StateStatus.UNKNOWN if StateStatus.UNKNOWN in statuses else StateStatus.PENDING
    down = judged.count(StateStatus.DOWN)
    if down * 2 > len(judged):
        return StateStatus.DOWN
    return StateStatus.DEGRADED if down or StateStatus.DEGRADED in judged else StateStatus.UP


def _apply_unjudged(
    confirmation: Confirmation, result: Result
) -> tuple[Confirmation, LocationStateChange | None, bool]:
    if confirmation.status is not StateStatus.PENDING or result.status is not Status.UNKNOWN:
        return confirmation, None, False
    after, change = _with_status(confirmation, StateStatus.UNKNOWN, result)
    return after, change, False


def _is_steady(confirmation: Confirmation) -> bool:
    """Returns whether another success changes no counter, the usual case, which gets a short cut."""
    return confirmation.up_run == _RUN_MAX and confirmation.changes == 0 and confirmation.status is StateStatus.UP


def _count_result(confirmation: Confirmation, result: Result) -> Confirmation:
    up, down = result.status is Status.UP, result.status is Status.DOWN
    changed = confirmation.last_class not in ("", result.status)
    changes = (confirmation.changes << 1 | changed) & _FLAPPING_MASK
    return replace(
        confirmation,
        up_run=min(confirmation.up_run + 1, _RUN_MAX) if up else 0,
        down_run=min(confirmation.down_run + 1, _RUN_MAX) if down else 0,
        bad_run=0 if up else min(confirmation.bad_run + 1, _RUN_MAX),
        changes=changes,
        flapping=_is_flapping(changes, was_flapping=confirmation.flapping),
        last_class=result.status.value,
        folded_at=result.tick_at,
    )


def _is_flapping(changes: int, *, was_flapping: bool) -> bool:
    if changes == 0:
        return False
    share = sum(weight for age, weight in enumerate(_FLAPPING_WEIGHTS) if changes >> age & 1) / _FLAPPING_WINDOW
    return share > (_FLAPPING_STOP if was_flapping else _FLAPPING_START)


def _next_status(confirmation: Confirmation, class_before: str) -> StateStatus:
    up_after = SUCCESSES_TO_UP_FLAPPING if confirmation.flapping else SUCCESSES_TO_UP
    if confirmation.down_run >= FAILURES_TO_DOWN:
        return StateStatus.DOWN
    if confirmation.up_run >= up_after:
        return StateStatus.UP
    if confirmation.status is StateStatus.DOWN:
        better = confirmation.last_class != Status.DOWN and (up_after == 1 or class_before not in ("", Status.DOWN))
        return StateStatus.DEGRADED if better else StateStatus.DOWN
    return StateStatus.DEGRADED if confirmation.bad_run >= FAILURES_TO_DOWN else confirmation.status


def _with_status(
    confirmation: Confirmation, status: StateStatus, result: Result
) -> tuple[Confirmation, LocationStateChange | None]:
    if status is confirmation.status:
        return confirmation, None
    at = max(result.tick_at, confirmation.since_at)
    after = replace(confirmation, status=status, since_at=at, reason=result.reason)
    return after, LocationStateChange(old=confirmation.status, new=status, at=at, reason=result.reason)


def _is_first_failure(confirmation: Confirmation, result: Result) -> bool:
    """Returns whether to recheck. A recheck causes no other one: a first failure costs at most one more check."""
    if result.origin is Origin.RECHECK or confirmation.status is StateStatus.DOWN:
        return False
    if result.status is Status.DOWN:
        return confirmation.down_run == 1
    return confirmation.bad_run == 1 and confirmation.status is not StateStatus.DEGRADED
