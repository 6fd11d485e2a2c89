"""Confirmation rules of one location, over generated histories."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from libs.model.check import Origin, Result
from libs.model.confirmation import Confirmation, LocationStateChange
from libs.model.outcome import Status
from libs.model.state import StateStatus
from services.results.ingest.confirmation import FAILURES_TO_DOWN, aggregate, apply_result, note_tick, recheck_at

START = datetime(2026, 11, 21, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
FRESH = Confirmation(since_at=START)

JUDGING = st.sampled_from([Status.UP, Status.DEGRADED, Status.DOWN])
SILENT = st.sampled_from([Status.UNKNOWN, Status.MISSED])
ANY = st.sampled_from(list(Status))
LETTERS = {"U": Status.UP, "G": Status.DEGRADED, "D": Status.DOWN, "?": Status.UNKNOWN, "-": Status.MISSED}


def result(status: Status, minute: int, origin: Origin = Origin.TICK, *, took_s: float = 0.1) -> Result:
    at = START + minute * MINUTE
    return Result(
        monitor_id="m",
        tenant_id="t",
        location="local",
        kind="http",
        revision=1,
        interval_s=60,
        origin=origin,
        tick_at=at,
        started_at=at,
        duration_s=took_s,
        status=status,
        reason=f"{status.value}-{minute}",
    )


def history(
    statuses: Sequence[Status], memory: Confirmation = FRESH, first: int = 1
) -> tuple[Confirmation, list[LocationStateChange], int]:
    moves, rechecks = [], 0
    for minute, status in enumerate(statuses, first):
        memory, move, wants_recheck = apply_result(memory, result(status, minute))
        moves += [move] if move else []
        rechecks += wants_recheck
    return memory, moves, rechecks


def after(letters: str) -> StateStatus:
    return history([LETTERS[letter] for letter in letters])[0].status


@pytest.mark.parametrize(
    ("letters", "status"),
    [
        ("", "pending"),
        ("-", "pending"),
        ("?", "unknown"),
        ("U", "up"),
        ("D", "pending"),
        ("DD", "down"),
        ("?D", "unknown"),
        ("UD", "up"),
        ("UDD", "down"),
        ("UD?D", "down"),
        ("UD-D", "down"),
        ("UDUD", "up"),
        ("UGG", "degraded"),
        ("UGD", "degraded"),
        ("UGDD", "down"),
        ("DDU", "up"),
        ("DDG", "degraded"),
        ("DD?", "down"),
        ("GGU", "up"),
    ],
)
def test_a_history_ends_in_its_state(letters: str, status: str) -> None:
    assert after(letters) == status


@given(st.lists(JUDGING), st.lists(SILENT))
def test_unknown_and_missed_never_move_a_state_that_was_judged(judged: list[Status], silent: list[Status]) -> None:
    before, *_ = history([Status.UP, *judged])
    memory, moves, rechecks = history(silent, before, first=len(judged) + 2)
    assert memory == before
    assert not moves
    assert not rechecks


@given(st.lists(ANY))
def test_down_needs_that_many_failures_in_a_row(statuses: list[Status]) -> None:
    memory = FRESH
    judged: list[Status] = []
    for minute, status in enumerate(statuses, 1):
        judged += [status] if status not in (Status.UNKNOWN, Status.MISSED) else []
        memory, move, _ = apply_result(memory, result(status, minute))
        failed = len(judged) >= FAILURES_TO_DOWN and set(judged[-FAILURES_TO_DOWN:]) == {Status.DOWN}
        if failed:
            assert memory.status is StateStatus.DOWN
        elif move:
            assert move.new is not StateStatus.DOWN


@given(st.lists(ANY))
def test_moves_chain_and_each_has_the_reason_of_its_result(statuses: list[Status]) -> None:
    memory, moves, _ = history(statuses)
    chain = [StateStatus.PENDING, *(move.new for move in moves)]
    assert [move.old for move in moves] == chain[:-1]
    assert all(move.old is not move.new for move in moves)
    assert memory.status is chain[-1]
    if moves:
        assert (memory.since_at, memory.reason) == (moves[-1].at, moves[-1].reason)


@given(st.lists(JUDGING))
def test_a_first_failure_asks_for_one_second_look(statuses: list[Status]) -> None:
    _, _, rechecks = history(statuses)
    beginnings = sum(
        status is not Status.UP and (index == 0 or statuses[index - 1] is not status)
        for index, status in enumerate(statuses)
    )
    assert rechecks <= beginnings


@given(st.lists(JUDGING), JUDGING)
def test_a_second_look_never_asks_for_a_third(statuses: list[Status], last: Status) -> None:
    memory, *_ = history(statuses)
    _, _, wants_recheck = apply_result(memory, result(last, len(statuses) + 1, Origin.RECHECK))
    assert not wants_recheck


def test_the_second_look_of_a_failing_tick_confirms_it() -> None:
    memory, *_ = history([Status.UP])
    memory, move, wants_recheck = apply_result(memory, result(Status.DOWN, 2))
    assert (move, wants_recheck) == (None, True)
    memory, move, wants_recheck = apply_result(memory, result(Status.DOWN, 3, Origin.RECHECK))
    assert move is not None
    assert (move.new, wants_recheck) == (StateStatus.DOWN, False)


@given(st.lists(JUDGING, min_size=1), st.data())
def test_a_late_or_repeated_result_changes_nothing(statuses: list[Status], data: st.DataObject) -> None:
    memory, *_ = history(statuses)
    minute = data.draw(st.integers(0, len(statuses)))
    again = result(data.draw(JUDGING), minute)
    assert apply_result(memory, again) == (memory, None, False)


@given(st.lists(ANY, min_size=1, max_size=30), st.randoms())
def test_late_silent_results_may_come_in_any_order(statuses: list[Status], random: Random) -> None:
    ticks = [result(status, minute) for minute, status in enumerate([Status.UP, *statuses], 1)]
    judged = [tick for tick in ticks if tick.status not in (Status.UNKNOWN, Status.MISSED)]
    silent = [tick for tick in ticks if tick.status in (Status.UNKNOWN, Status.MISSED)]
    random.shuffle(silent)
    shuffled, ordered = FRESH, FRESH
    for each in judged + silent:
        shuffled, *_ = apply_result(shuffled, each)
    for each in ticks:
        ordered, *_ = apply_result(ordered, each)
    assert shuffled == ordered


@given(st.lists(JUDGING, min_size=3, max_size=200))
def test_a_state_moves_at_most_as_often_as_results_confirm_it(statuses: list[Status]) -> None:
    _, moves, _ = history(statuses)
    downs = sum(move.new is StateStatus.DOWN for move in moves)
    assert downs <= len(statuses) // FAILURES_TO_DOWN
    recoveries = sum(move.new is StateStatus.UP and move.old is StateStatus.DOWN for move in moves)
    assert recoveries <= downs


def test_a_target_that_changes_all_the_time_is_flapping_and_then_must_prove_itself_twice() -> None:
    memory, *_ = history([Status.UP, Status.DOWN] * 10)
    assert memory.flapping
    memory, moves, _ = history([Status.DOWN, Status.DOWN, Status.UP], memory, first=21)
    assert memory.status is StateStatus.DOWN
    memory, moves, _ = history([Status.UP], memory, first=24)
    assert moves[-1].new is StateStatus.UP


def test_a_target_that_stays_calm_stops_flapping() -> None:
    memory, *_ = history([Status.UP, Status.DOWN] * 10)
    memory, *_ = history([Status.UP] * 21, memory, first=21)
    assert not memory.flapping
    assert memory.changes == 0


def test_two_changes_in_twenty_are_no_flapping() -> None:
    memory, *_ = history([Status.UP] * 17 + [Status.DOWN] * 2 + [Status.UP])
    assert not memory.flapping


@given(st.lists(st.tuples(ANY, st.integers(1, 40))))
def test_marks_are_the_newest_whatever_the_order(seen: list[tuple[Status, int]]) -> None:
    memory = FRESH
    for status, minute in seen:
        memory = note_tick(memory, result(status, minute), 60)
    newest = START + max(minute for _, minute in seen) * MINUTE if seen else None
    assert (memory.ticked_at, memory.last_tick_at) == (newest, newest)


def test_only_a_tick_of_the_present_grid_moves_the_tick_mark() -> None:
    assert note_tick(FRESH, result(Status.UP, 1, Origin.MANUAL), 60).ticked_at is None
    assert note_tick(FRESH, result(Status.UP, 1), 300).ticked_at is None
    assert note_tick(FRESH, result(Status.UP, 1), None).ticked_at is None


def test_the_second_look_comes_a_quarter_interval_later_and_never_after_the_next_tick() -> None:
    assert recheck_at(result(Status.DOWN, 1, took_s=5)) == START + MINUTE + timedelta(seconds=15)
    assert recheck_at(result(Status.DOWN, 1, took_s=50)) is None
    short = replace(result(Status.DOWN, 1), interval_s=10)
    assert recheck_at(short) == START + MINUTE + timedelta(seconds=2.6)


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([], "pending"),
        (["pending"], "pending"),
        (["unknown"], "unknown"),
        (["unknown", "pending"], "unknown"),
        (["up", "pending", "unknown"], "up"),
        (["down"], "down"),
        (["down", "up"], "degraded"),
        (["down", "down", "up"], "down"),
        (["down", "unknown"], "down"),
        (["down", "pending"], "down"),
        (["degraded", "up"], "degraded"),
    ],
)
def test_a_monitor_is_what_most_of_its_locations_say(statuses: list[str], expected: str) -> None:
    assert aggregate([StateStatus(status) for status in statuses]) == expected
