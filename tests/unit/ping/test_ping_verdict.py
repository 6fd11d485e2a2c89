"""From numbers and words to a verdict."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.model.fields.address_family import combine_families
from libs.model.outcome import Outcome, Reason, Status
from libs.net.verdict import Verdict
from services.ping.icmp import IcmpError
from services.ping.icmp_errors import ERROR_VERDICTS_MAX, error_reason, error_verdict, error_verdicts
from services.ping.spec import PingReason, PingSpec
from services.ping.verdict import PingObservation, judge

REMOTE_ERROR = Verdict(Status.DOWN, PingReason.PROHIBITED, "192.0.2.9 prohibits the packet.")
LOCAL_ERROR = Verdict(Status.UNKNOWN, Reason.NO_ROUTE, "This machine cannot reach its gateway.")
ROUTER = "192.0.2.9"


def make_samples(
    received: int, sent: int = 5, median_s: float = 0.01, jitter_s: float = 0.001, **more: float
) -> dict[str, float]:
    counts: dict[str, float] = {"sent": sent, "received": received, "late": 0, "damaged": 0, "duplicates": 0} | more
    if sent:
        counts["loss_ratio"] = (sent - received) / sent
    return counts | ({"rtt_median_s": median_s, "jitter_s": jitter_s} if received else {})


def judge_spec(seen: PingObservation, **options: Any) -> tuple[Status, str]:
    fault = judge(PingSpec(host="a.example", **options), seen)
    assert fault.detail.endswith(".")
    return fault.status, fault.reason


@pytest.mark.parametrize(
    ("seen", "options", "expected"),
    [
        (PingObservation(make_samples(5)), {}, (Status.UP, "ok")),
        (PingObservation(make_samples(1)), {}, (Status.UP, "ok")),
        (PingObservation(make_samples(0)), {}, (Status.DOWN, "no_reply")),
        (PingObservation(make_samples(0, late=2)), {}, (Status.DOWN, "no_reply")),
        (PingObservation(make_samples(0, damaged=2)), {}, (Status.DOWN, "reply_damaged")),
        (PingObservation(make_samples(0, damaged=2), stalled=True), {}, (Status.UNKNOWN, "late_loop")),
        (PingObservation(make_samples(0), error_verdicts=(REMOTE_ERROR,)), {}, (Status.DOWN, "prohibited")),
        (
            PingObservation(make_samples(0), error_verdicts=(LOCAL_ERROR, REMOTE_ERROR, REMOTE_ERROR)),
            {},
            (Status.DOWN, "prohibited"),
        ),
        (
            PingObservation(make_samples(0), error_verdicts=(LOCAL_ERROR, LOCAL_ERROR, REMOTE_ERROR)),
            {},
            (Status.UNKNOWN, "no_route"),
        ),
        (PingObservation(make_samples(0), stalled=True), {}, (Status.UNKNOWN, "late_loop")),
        (PingObservation(make_samples(0), buffer_overflowed=True, stalled=True), {}, (Status.UNKNOWN, "no_buffers")),
        (
            PingObservation(make_samples(0), error_verdicts=(REMOTE_ERROR,), stalled=True),
            {},
            (Status.DOWN, "prohibited"),
        ),
        (PingObservation(make_samples(0, sent=0), send_failure=LOCAL_ERROR), {}, (Status.UNKNOWN, "no_route")),
        (PingObservation(make_samples(0, sent=2), send_failure=LOCAL_ERROR), {}, (Status.UNKNOWN, "no_route")),
        (PingObservation(make_samples(2, sent=2), send_failure=LOCAL_ERROR), {}, (Status.UP, "ok")),
        (PingObservation(make_samples(0), resolver_slow=True), {}, (Status.UNKNOWN, "resolver_failed")),
        (
            PingObservation(make_samples(0), error_verdicts=(REMOTE_ERROR,), resolver_slow=True),
            {},
            (Status.DOWN, "prohibited"),
        ),
        (PingObservation(make_samples(3)), {"loss_ratio_down": 0.4}, (Status.DOWN, "loss")),
        (PingObservation(make_samples(4)), {"loss_ratio_down": 0.4}, (Status.UP, "ok")),
        (PingObservation(make_samples(4)), {"loss_ratio_degraded": 0.2}, (Status.DEGRADED, "loss")),
        (
            PingObservation(make_samples(4), error_verdicts=(LOCAL_ERROR,)),
            {"loss_ratio_degraded": 0.2},
            (Status.UNKNOWN, "no_route"),
        ),
        (PingObservation(make_samples(4), stalled=True), {"loss_ratio_degraded": 0.2}, (Status.UNKNOWN, "late_loop")),
        (PingObservation(make_samples(4), stalled=True), {}, (Status.UP, "ok")),
        (PingObservation(make_samples(5, median_s=0.5)), {"rtt_s_degraded": 0.5}, (Status.DEGRADED, "slow")),
        (
            PingObservation(make_samples(5, median_s=0.5)),
            {"rtt_s_degraded": 0.1, "rtt_s_down": 0.4},
            (Status.DOWN, "slow"),
        ),
        (PingObservation(make_samples(5, jitter_s=0.2)), {"jitter_s_degraded": 0.2}, (Status.DEGRADED, "jitter")),
        (PingObservation(make_samples(5, jitter_s=0.2)), {"jitter_s_down": 0.1}, (Status.DOWN, "jitter")),
        (PingObservation(make_samples(5, median_s=0.5), stalled=True), {"rtt_s_down": 0.5}, (Status.DOWN, "slow")),
        (
            PingObservation(make_samples(5, median_s=0.5), timestamps_unreliable=True),
            {"rtt_s_down": 0.5},
            (Status.UNKNOWN, "late_loop"),
        ),
        (
            PingObservation(make_samples(5, jitter_s=0.2), timestamps_unreliable=True),
            {"jitter_s_degraded": 0.2},
            (Status.UNKNOWN, "late_loop"),
        ),
        (
            PingObservation(make_samples(5, median_s=0.4), timestamps_unreliable=True),
            {"rtt_s_down": 0.5},
            (Status.UP, "ok"),
        ),
        (
            PingObservation(make_samples(4, median_s=1)),
            {"rtt_s_down": 1, "loss_ratio_degraded": 0.1},
            (Status.DOWN, "slow"),
        ),
    ],
)
def test_a_verdict_follows_from_what_was_seen(
    seen: PingObservation, options: dict[str, Any], expected: tuple[Status, str]
) -> None:
    assert judge_spec(seen, **options) == expected


@given(st.integers(0, 5), st.booleans(), st.booleans(), st.floats(0.01, 1))
def test_what_came_back_whole_is_never_unknown_and_nothing_at_all_is_never_up(
    received: int, stalled: bool, overflown: bool, down: float
) -> None:
    status, _ = judge_spec(
        PingObservation(make_samples(received), stalled=stalled, buffer_overflowed=overflown), loss_ratio_down=down
    )
    assert (status is Status.UP) <= (received > 0)
    assert received < 5 or status is Status.UP


@given(st.sampled_from([4, 6]), st.integers(0, 255), st.integers(0, 255))
def test_every_error_has_a_reason_and_a_sentence(version: int, kind: int, code: int) -> None:
    report = IcmpError(version, kind, code, 0, b"", b"", b"", sender=ROUTER)
    fault = error_verdict(report, ours=False, on_link=False)
    assert (fault.status, fault.reason) == (Status.DOWN, error_reason(report))
    assert fault.detail == f"{ROUTER} {fault.detail.removeprefix(f'{ROUTER} ')}"
    assert f"ICMP type {kind}, code {code}." in fault.detail


@pytest.mark.parametrize(
    ("code", "on_link", "expected"),
    [
        (1, True, (Status.DOWN, PingReason.HOST_UNREACHABLE)),
        (1, False, (Status.UNKNOWN, Reason.NO_ROUTE)),
        (13, True, (Status.UNKNOWN, Reason.EGRESS_REFUSED)),
        (3, False, (Status.UNKNOWN, Reason.EGRESS_REFUSED)),
    ],
)
def test_our_own_word_is_about_the_target_only_if_it_is_a_neighbour(
    code: int, on_link: bool, expected: tuple[Status, str]
) -> None:
    fault = error_verdict(IcmpError(4, 3, code, 0, b"", b"", b""), ours=True, on_link=on_link)
    assert (fault.status, fault.reason) == expected


@given(st.lists(st.integers(0, 20), max_size=100))
def test_errors_that_say_the_same_are_explained_once_and_few_in_all(speakers: list[int]) -> None:
    asked: list[str] = []

    def explain(report: IcmpError) -> Verdict:
        asked.append(report.sender)
        return Verdict(Status.DOWN, PingReason.PROHIBITED, report.sender)

    reports = [IcmpError(4, 3, 1, key, b"", b"", bytes((key,)), sender=f"{who}") for key, who in enumerate(speakers)]
    said = error_verdicts(reports, explain)
    assert len(asked) == len(set(asked)) == min(len(set(speakers)), ERROR_VERDICTS_MAX)
    told = sorted(map(speakers.count, map(int, asked)), reverse=True)
    assert told == sorted((speakers.count(who) for who in set(speakers)), reverse=True)[:ERROR_VERDICTS_MAX]
    assert len(said) == sum(told)


def family_outcome(status: Status, why: str) -> Outcome:
    return Outcome(status=status, reason=why, detail=f"{why}.", samples={"received": 1.0})


@pytest.mark.parametrize(
    ("four", "six", "expected"),
    [
        ((Status.UP, "ok"), (Status.UP, "ok"), (Status.UP, "ok")),
        ((Status.UP, "ok"), (Status.DOWN, "no_reply"), (Status.DEGRADED, "family_down")),
        ((Status.DOWN, "no_reply"), (Status.UNKNOWN, "no_route"), (Status.DEGRADED, "family_down")),
        ((Status.UP, "ok"), (Status.UNKNOWN, "no_route"), (Status.UNKNOWN, "no_route")),
        ((Status.DEGRADED, "slow"), (Status.UP, "ok"), (Status.DEGRADED, "slow")),
        ((Status.DOWN, "name_not_found"), (Status.DOWN, "no_reply"), (Status.DOWN, "no_reply")),
        ((Status.DOWN, "prohibited"), (Status.DOWN, "no_reply"), (Status.DOWN, "prohibited")),
    ],
)
def test_neither_family_hides_the_other(
    four: tuple[Status, str], six: tuple[Status, str], expected: tuple[Status, str]
) -> None:
    outcome = combine_families(family_outcome(*four), family_outcome(*six))
    assert (outcome.status, outcome.reason) == expected
    assert outcome.detail == f"Over IPv4: {four[1]}. Over IPv6: {six[1]}."
    assert {"ip_protocol", "received", "ipv4_received", "ipv6_received"} == set(outcome.samples)
