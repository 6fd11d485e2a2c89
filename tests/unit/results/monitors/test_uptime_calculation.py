"""Calculated uptime, compared with an oracle that samples every second."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.model.outcome import Status
from libs.store.ingest.uptime import RecordedTick, StatusDurations, TimeSpan
from services.results.monitors import uptime_calculation

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOURS = 6


def at(second: int) -> datetime:
    return NOON + timedelta(seconds=second)


def span(from_s: int, to_s: int) -> TimeSpan:
    return TimeSpan(at(from_s), at(to_s))


def status_at(ticks: list[RecordedTick], location: str, second: int) -> Status | None:
    """The newest tick of the location that is not later, unless it stands no longer."""
    instant = at(second)
    before = [tick for tick in ticks if tick.location == location and tick.tick_at <= instant]
    newest = max(before, key=lambda tick: tick.tick_at, default=None)
    if newest is None or instant >= newest.tick_at + timedelta(seconds=newest.interval_s):
        return None
    return newest.status


def spent(ticks: list[RecordedTick], from_s: int, to_s: int, step_s: int) -> dict[str, dict[Status, float]]:
    seconds: dict[str, dict[Status, float]] = defaultdict(lambda: defaultdict(float))
    for location in {tick.location for tick in ticks}:
        for second in range(from_s, to_s, step_s):
            if (status := status_at(ticks, location, second)) is not None:
                seconds[location][status] += step_s
    return seconds


def oracle(ticks: list[RecordedTick], from_s: int, to_s: int, step_s: int) -> dict[Status, float]:
    total: dict[Status, float] = dict.fromkeys(Status, 0.0)
    for hour_s in range(-3600 * 30, 3600 * HOURS, 3600):
        by_location = spent(ticks, max(hour_s, from_s), min(hour_s + 3600, to_s), step_s)
        for seconds in by_location.values():
            for status, value in seconds.items():
                total[status] += value / len(by_location)
    return total


STEP_S = 300
_ticks = st.builds(
    RecordedTick,
    location=st.sampled_from(["a", "b"]),
    tick_at=st.integers(-12, HOURS * 12 - 1).map(lambda step: at(step * STEP_S)),
    interval_s=st.sampled_from([300, 600, 3600, 7200]),
    status=st.sampled_from(Status),
)


@given(
    st.lists(_ticks, max_size=40, unique_by=lambda tick: (tick.location, tick.tick_at)),
    st.integers(0, HOURS * 12 - 1),
    st.integers(1, HOURS * 12),
    st.sets(st.integers(0, HOURS - 1)),
)
def test_uptime_is_what_an_observer_of_every_moment_would_say(
    ticks: list[RecordedTick], from_step: int, length: int, rolled_hours: set[int]
) -> None:
    from_s, to_s = from_step * STEP_S, min((from_step + length) * STEP_S, HOURS * 3600)
    rolled = [
        StatusDurations(span(hour * 3600, hour * 3600 + 3600), seconds)
        for hour in rolled_hours
        if from_s <= hour * 3600 and hour * 3600 + 3600 <= to_s
        for seconds in spent(ticks, hour * 3600, hour * 3600 + 3600, STEP_S).values()
    ]
    view = uptime_calculation.compute_uptime(span(from_s, to_s), rolled, ticks)
    expected = oracle(ticks, from_s, to_s, STEP_S)
    for status in Status:
        assert getattr(view, f"{status}_s") == pytest.approx(expected[status])
    assert view.unwatched_s == pytest.approx(to_s - from_s - sum(expected.values()))
    judged = expected[Status.UP] + expected[Status.DEGRADED] + expected[Status.DOWN]
    if judged:
        assert view.uptime == pytest.approx(1 - expected[Status.DOWN] / judged)
    else:
        assert view.uptime is None


def test_unknown_and_missed_time_is_stated_apart_and_is_never_uptime() -> None:
    ticks = [RecordedTick("a", at(60 * minute), 60, status) for minute, status in enumerate(Status)]
    view = uptime_calculation.compute_uptime(span(0, 360), [], ticks)
    assert (view.up_s, view.degraded_s, view.down_s, view.unknown_s, view.missed_s) == (60, 60, 60, 60, 60)
    assert view.unwatched_s == 60
    assert view.uptime == pytest.approx(2 / 3)


def test_a_window_of_part_of_a_tick_is_that_part() -> None:
    view = uptime_calculation.compute_uptime(span(100, 130), [], [RecordedTick("a", at(0), 3600, Status.UP)])
    assert (view.up_s, view.unwatched_s, view.uptime) == (30, 0, 1)


def test_two_locations_that_disagree_share_the_time() -> None:
    ticks = [RecordedTick("a", at(0), 60, Status.UP), RecordedTick("b", at(0), 60, Status.DOWN)]
    view = uptime_calculation.compute_uptime(span(0, 60), [], ticks)
    assert (view.up_s, view.down_s, view.unwatched_s) == (30, 30, 0)


def test_what_is_not_covered_is_the_rest_in_order() -> None:
    rest = uptime_calculation.subtract(span(0, 100), [span(50, 60), span(-10, 10), span(50, 60), span(90, 200)])
    assert rest == [span(10, 50), span(60, 90)]
