"""Ticks are plain arithmetic: these tests hold the arithmetic against counting every second by hand."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from libs.model.interval import DAY_S, INTERVALS_S, phase_s, shard, tick_at_or_before, ticks_between

intervals = st.sampled_from(INTERVALS_S)
instants = st.floats(1.6e9, 2.8e9).map(lambda second: datetime.fromtimestamp(second, UTC))


def test_every_interval_divides_a_day():
    assert all(DAY_S % interval == 0 for interval in INTERVALS_S)
    assert list(INTERVALS_S) == sorted(set(INTERVALS_S))


@given(st.uuids(), st.sampled_from(["local", "eu-west"]), intervals)
def test_a_phase_lies_inside_its_interval_and_never_changes(monitor, location, interval):
    phase = phase_s(str(monitor), location, interval)
    assert 0 <= phase < interval
    assert phase == phase_s(str(monitor), location, interval)


def test_phase_and_shard_are_independent():
    monitors = [f"monitor-{n}" for n in range(4000)]
    in_shard_0 = [m for m in monitors if shard(m, 4) == 0]
    seconds = {phase_s(m, "local", 60) for m in in_shard_0}
    assert len(in_shard_0) > 800
    assert seconds == set(range(60))


@given(instants, intervals, st.data())
def test_the_last_tick_is_on_the_grid_and_not_after_the_instant(instant, interval, data):
    phase = data.draw(st.integers(0, interval - 1))
    tick = tick_at_or_before(instant, interval, phase)
    assert int(tick.timestamp()) % interval == phase
    assert timedelta(0) <= instant - tick < timedelta(seconds=interval)


@given(instants, st.sampled_from([10, 12, 60]), st.integers(0, 300), st.data())
def test_ticks_between_are_those_that_counting_seconds_finds(after, interval, span, data):
    phase = data.draw(st.integers(0, interval - 1))
    until = after + timedelta(seconds=span)
    first = int(after.timestamp()) - 1
    counted = [
        instant
        for second in range(first, first + span + 3)
        if second % interval == phase and after < (instant := datetime.fromtimestamp(second, UTC)) <= until
    ]
    assert list(ticks_between(after, until, interval, phase)) == counted
