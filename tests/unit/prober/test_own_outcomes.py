"""Outcomes that the prober itself decides."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.model.check import Check, Origin
from libs.model.outcome import Hop, Outcome, Reason, Status
from libs.model.spec import Spec
from libs.prober import own_outcomes

TICK_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
CHECK = Check(
    monitor_id="m1",
    tenant_id="t1",
    location="local",
    kind="http",
    revision=3,
    interval_s=60,
    timeout_s=5,
    spec=msgspec.Raw(b"{}"),
    tick_at=TICK_AT,
)
UP = Outcome(status=Status.UP, reason=Reason.OK)


@given(st.floats(-100, 1000))
def test_a_tick_is_too_late_once_the_next_one_is_due(late_s: float) -> None:
    now = TICK_AT + timedelta(seconds=late_s)
    assert own_outcomes.is_too_late(CHECK, now) is (now >= TICK_AT + timedelta(seconds=60))


@pytest.mark.parametrize("origin", [Origin.RECHECK, Origin.MANUAL, Origin.ADHOC])
def test_a_check_that_is_not_a_tick_is_never_too_late(origin: Origin) -> None:
    check = msgspec.structs.replace(CHECK, origin=origin)
    assert not own_outcomes.is_too_late(check, TICK_AT + timedelta(days=1))


def test_lateness_is_never_negative() -> None:
    assert own_outcomes.lateness_s(CHECK, TICK_AT - timedelta(seconds=3)) == 0


def test_an_exceeded_deadline_is_unknown_and_a_blocked_loop_is_reported() -> None:
    assert own_outcomes.overdue_outcome(5, 0.0).reason == Reason.PROBE_CRASHED
    assert own_outcomes.overdue_outcome(5, 2.0).reason == Reason.LATE_LOOP
    assert {own_outcomes.overdue_outcome(5, stalled_s).status for stalled_s in (0.0, 2.0)} == {Status.UNKNOWN}


def test_a_crash_is_reported_with_its_type_and_without_secrets() -> None:
    outcome = own_outcomes.crash_outcome(KeyError("password=hunter2"))
    assert (outcome.status, outcome.reason, outcome.detail) == (Status.UNKNOWN, Reason.PROBE_CRASHED, "KeyError")


def test_a_missed_tick_does_not_hide_a_real_result_of_the_same_tick() -> None:
    real = own_outcomes.to_result(CHECK, UP, TICK_AT, 0.1, "here")
    missed = own_outcomes.to_result(
        CHECK, own_outcomes.late_outcome(CHECK, TICK_AT + timedelta(seconds=70)), TICK_AT, 0, "here"
    )
    assert own_outcomes.result_message_id(real) != own_outcomes.result_message_id(missed)


def test_every_delivery_of_a_tick_has_the_same_message_id() -> None:
    first = own_outcomes.to_result(CHECK, UP, TICK_AT, 0.1, "here")
    again = own_outcomes.to_result(CHECK, UP, TICK_AT + timedelta(seconds=9), 0.3, "there")
    assert own_outcomes.result_message_id(first) == own_outcomes.result_message_id(again)


@given(st.uuids().map(str), st.floats(0, 5))
def test_a_tick_waits_for_the_delay_of_its_monitor_and_no_longer(monitor_id: str, late_s: float) -> None:
    check = msgspec.structs.replace(CHECK, monitor_id=monitor_id)
    assert 0 <= own_outcomes.spread_delay_s(monitor_id) < own_outcomes.SPREAD_S
    wait_s = own_outcomes.start_delay_s(check, TICK_AT + timedelta(seconds=late_s))
    assert wait_s == pytest.approx(own_outcomes.spread_delay_s(monitor_id) - late_s, abs=1e-5)


class LampSpec(Spec, frozen=True, kw_only=True, tag="lamp"):
    static_facts = frozenset({"maker", "weight"})


HOPS = [Hop(target="a", facts={"maker": "x", "lit": True}, said="hm"), Hop(target="b", facts={"lit": True})]


def test_the_result_of_a_tick_that_is_up_omits_static_facts() -> None:
    outcome = msgspec.structs.replace(UP, hops=HOPS)
    kept = own_outcomes.without_static_facts(CHECK, LampSpec(), outcome)
    assert [hop.facts for hop in kept.hops] == [{"lit": True}, {"lit": True}]
    assert msgspec.structs.replace(kept, hops=HOPS) == outcome
    assert [hop.target for hop in kept.hops] == ["a", "b"]


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.UP])
def test_a_result_that_is_not_up_contains_every_fact(status: Status) -> None:
    outcome = Outcome(status=status, reason="x", hops=HOPS)
    assert own_outcomes.without_static_facts(CHECK, LampSpec(), outcome) is outcome


@pytest.mark.parametrize("origin", [Origin.RECHECK, Origin.MANUAL, Origin.ADHOC])
def test_a_manual_check_contains_every_fact(origin: Origin) -> None:
    outcome = msgspec.structs.replace(UP, hops=HOPS)
    assert (
        own_outcomes.without_static_facts(msgspec.structs.replace(CHECK, origin=origin), LampSpec(), outcome) is outcome
    )


def test_without_static_facts_the_outcome_is_returned_unchanged() -> None:
    outcome = msgspec.structs.replace(UP, hops=HOPS[1:])
    assert own_outcomes.without_static_facts(CHECK, LampSpec(), outcome) is outcome


def test_delays_are_spread_evenly() -> None:
    counted = Counter(own_outcomes.spread_delay_s(f"monitor-{number}") for number in range(12_000))
    assert len(counted) == own_outcomes.SPREAD_STEPS
    assert min(counted.values()) > 800
