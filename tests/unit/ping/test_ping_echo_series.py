"""What counts as an answer, how its time is measured, how packets are spread, and what the numbers amount to."""

import itertools
import math
import socket
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ping.echo_series import DualTimestamp, EchoSeries, fit_timing, kernel_rtt_s, make_requests
from services.ping.icmp import EchoReply, IcmpError
from services.ping.rtt_stats import jitter_s, rtt_statistics, series_samples

SECONDS = st.floats(1e-6, 10)
S = 1_000_000_000
HOST = "192.0.2.1"


def make_series(count: int = 2) -> EchoSeries:
    made = EchoSeries(socket.AF_INET, HOST, make_requests(count, 56), reply_timeout_s=1.0)
    for packet in made.requests:
        packet.sent_at = DualTimestamp(0, 0)
    return made


def make_error(of: EchoSeries, number: int, **changes: bytes) -> IcmpError:
    packet = of.requests[number]
    fields = {"target": of.packed_address, "origin": b"", "quoted": packet.payload} | changes
    return IcmpError(4, 3, 1, packet.key, fields["target"], fields["origin"], fields["quoted"])


def test_only_all_bytes_from_the_right_address_are_an_answer() -> None:
    made = make_series()
    packet, other = made.requests
    assert made.check_reply(packet, EchoReply(0, packet.payload), HOST)
    assert not made.check_reply(packet, EchoReply(0, packet.payload), "192.0.2.2")
    assert not made.check_reply(packet, EchoReply(0, other.payload), HOST)
    assert made.damaged == 0
    assert not made.check_reply(packet, EchoReply(0, packet.payload[:-1]), HOST)
    assert not made.check_reply(packet, EchoReply(0, packet.payload, checksum_ok=False), HOST)
    assert made.damaged == 2


def test_an_address_is_compared_as_the_kernel_writes_it() -> None:
    assert EchoSeries(socket.AF_INET6, "2001:DB8:0::1", make_requests(1, 16), 1.0).address == "2001:db8::1"


@given(st.lists(st.tuples(st.integers(0, 4), SECONDS), max_size=30))
def test_each_packet_counts_once_and_everything_is_counted(answers: list[tuple[int, float]]) -> None:
    made = make_series(5)
    for number, took_s in answers:
        made.record_reply(made.requests[number], took_s, 64)
    seen = series_samples(made)
    assert seen["received"] + seen["late"] + seen["duplicates"] == len(answers)
    assert seen["received"] + seen["late"] == len({number for number, _ in answers})
    assert 0 <= seen["loss_ratio"] <= 1
    assert seen["loss_ratio"] == pytest.approx(1 - seen["received"] / 5)
    assert made.is_settled == ({number for number, _ in answers} == set(range(5)))


def test_an_error_settles_a_packet_and_an_answer_afterwards_still_counts() -> None:
    woken: list[int] = []
    made = make_series()
    made.on_settled = lambda: woken.append(made.settled_count)
    made.record_error(made.requests[0], make_error(made, 0))
    made.record_error(made.requests[0], make_error(made, 0))
    made.record_reply(made.requests[1], 0.1, None)
    assert (made.is_settled, woken) == (True, [2])
    made.record_reply(made.requests[0], 0.2, None)
    assert (series_samples(made)["received"], woken) == (2, [2])


@pytest.mark.parametrize("changes", [{"target": b"\xc0\0\2\2"}, {"quoted": b"somebody else's packet"}])
def test_an_error_that_quotes_something_else_is_nothing(changes: dict[str, bytes]) -> None:
    made = make_series()
    made.record_error(made.requests[0], make_error(made, 0, **changes))
    assert made.requests[0].error is None


def test_tokens_are_never_the_same() -> None:
    made = [packet.payload for packet in make_requests(100, 20)]
    assert {len(payload) for payload in made} == {20}
    assert len({payload[:16] for payload in made}) == 100


@given(SECONDS, st.floats(0, 5))
def test_the_kernels_stamp_counts_however_late_a_reply_is_read(took_s: float, lag_s: float) -> None:
    stamp = round(took_s * S)
    read = DualTimestamp(stamp + round(lag_s * S), stamp + round(lag_s * S))
    assert kernel_rtt_s(DualTimestamp(0, 0), read, stamp) == stamp / S


@given(SECONDS, st.floats(0.05, 1e6), st.booleans())
def test_a_clock_that_was_set_in_between_never_makes_a_wrong_or_negative_time(
    took_s: float, step_s: float, back: bool
) -> None:
    real = round((took_s - step_s if back else took_s + step_s) * S)
    read = DualTimestamp(round(took_s * S), real)
    assert kernel_rtt_s(DualTimestamp(0, 0), read, real) is None


@pytest.mark.parametrize("stamp_ns", [None, -5, 10 * S])
def test_a_stamp_that_cannot_be_is_not_believed(stamp_ns: int | None) -> None:
    assert kernel_rtt_s(DualTimestamp(0, 0), DualTimestamp(S, S), stamp_ns) is None


def test_a_time_that_is_not_the_kernels_is_known_as_such() -> None:
    made = make_series(3)
    made.record_reply(made.requests[0], 0.1, None, stamped=False)
    made.record_reply(made.requests[0], 0.1, None, stamped=False)  # a repeat
    made.record_reply(made.requests[1], 1.1, None, stamped=False)  # too late for its time to count
    made.record_reply(made.requests[2], 0.1, None)
    assert made.without_timestamp == 1


@given(st.floats(-1, 100), st.integers(1, 100), st.floats(0.01, 60), st.floats(0.05, 60))
def test_packets_are_spread_over_what_the_timeout_allows(
    budget_s: float, packets: int, interval_s: float, patience_s: float
) -> None:
    made = fit_timing(budget_s, packets, interval_s, patience_s)
    assert (packets - 1) * made.interval_s + made.reply_timeout_s <= max(budget_s, 0) + 1e-6
    assert 0 <= made.reply_timeout_s <= patience_s
    assert made.interval_s >= 0
    assert packets == 1 or made.interval_s <= interval_s + 1e-6
    if budget_s >= (packets - 1) * interval_s + patience_s:
        assert made == (interval_s, patience_s)


@given(st.lists(SECONDS, min_size=1, max_size=100))
def test_times_are_in_their_order(rtts: list[float]) -> None:
    seen = rtt_statistics(rtts)
    assert seen["rtt_min_s"] == min(rtts)
    assert seen["rtt_max_s"] == max(rtts)
    assert seen["rtt_min_s"] <= seen["rtt_median_s"] <= seen["rtt_p95_s"] <= seen["rtt_max_s"]
    assert seen["rtt_avg_s"] == pytest.approx(statistics.mean(rtts))
    assert sum(each <= seen["rtt_p95_s"] for each in rtts) >= 0.95 * len(rtts)
    assert ("jitter_s" in seen) == (len(rtts) > 1)


@given(st.lists(SECONDS, min_size=2, max_size=100))
def test_jitter_is_the_mean_of_steps(rtts: list[float]) -> None:
    steps = [abs(one - two) for one, two in itertools.pairwise(rtts)]
    assert math.isclose(jitter_s(rtts), statistics.mean(steps), rel_tol=1e-9, abs_tol=1e-12)
    assert jitter_s([3.0] * len(rtts)) == 0


def test_nothing_received_has_no_times() -> None:
    assert rtt_statistics([]) == {}
    unsent = EchoSeries(socket.AF_INET, HOST, make_requests(2, 16), 1.0)
    assert series_samples(unsent) == {"sent": 0, "received": 0, "duplicates": 0, "late": 0, "damaged": 0}
