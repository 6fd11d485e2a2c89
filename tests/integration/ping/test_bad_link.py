"""On a link that is as bad as it is told to be, the numbers agree with what it was told, within sampling error."""

import contextlib
import math
from collections.abc import Iterator

import pytest

from libs.model.outcome import Outcome, Reason, Status
from services.ping.spec import PingReason
from tests.support.bad_link import bad_link
from tests.support.carrier import Rules
from tests.support.netns import inside, namespace
from tests.support.targets.pinging import pinged, verdict

PACKETS = 100
# A test that fails by chance once in a million runs.
SIGMAS = 5.0
HOSTS = ["10.90.0.2", "fd90::2"]


@contextlib.contextmanager
def bad_link_between(way: str, rules: Rules) -> Iterator[None]:
    """Puts the test at the left end of a link of its own."""
    with namespace("left") as left, namespace("right") as right, bad_link(left, right, rules) as carrier:
        print(f"carried by {carrier}")
        left.allow_datagrams()
        with inside(left, way):
            yield


def is_within_error(seen: float, ratio: float, count: int) -> bool:
    """Tells whether `seen` of `count` may come by chance from a link that does it to a `ratio` of all packets."""
    return abs(seen - ratio * count) <= SIGMAS * math.sqrt(ratio * (1 - ratio) * count)


async def ping_once(host: str, **options: float) -> Outcome:
    return await pinged(host, packets=PACKETS, packet_timeout_s=1.0, timeout_s=10, **options)


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("name", ["raw", "datagram"])
async def test_lost_packets_are_the_share_that_the_link_loses(name: str, host: str) -> None:
    with bad_link_between(name, Rules(loss=0.3)):
        outcome = await ping_once(host, loss_ratio_degraded=0.01)
    seen = outcome.samples
    assert verdict(outcome) == (Status.DEGRADED, PingReason.LOSS)
    assert is_within_error(seen["sent"] - seen["received"], 0.3, PACKETS)
    assert (seen["loss_ratio"], seen["duplicates"]) == (pytest.approx(1 - seen["received"] / PACKETS), 0)


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("name", ["raw", "datagram"])
async def test_the_round_trip_takes_as_long_as_the_link(name: str, host: str) -> None:
    with bad_link_between(name, Rules(delay_s=0.05)):
        outcome = await ping_once(host, rtt_s_degraded=0.05)
    seen = outcome.samples
    assert verdict(outcome) == (Status.DEGRADED, PingReason.SLOW)
    assert seen["received"] == PACKETS
    assert 0.05 <= seen["rtt_min_s"] < 0.1
    assert 0.05 <= seen["rtt_median_s"] <= seen["rtt_avg_s"] * 2


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("name", ["raw", "datagram"])
async def test_repeated_packets_are_no_answers_more(name: str, host: str) -> None:
    with bad_link_between(name, Rules(duplicate=0.4)):
        outcome = await ping_once(host)
    seen = outcome.samples
    assert (verdict(outcome), seen["received"], seen["loss_ratio"]) == ((Status.UP, Reason.OK), PACKETS, 0)
    assert is_within_error(seen["duplicates"], 0.4, PACKETS)


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("name", ["raw", "datagram"])
async def test_packets_that_overtake_each_other_are_all_found(name: str, host: str) -> None:
    with bad_link_between(name, Rules(delay_s=0.1, reorder=0.4)):
        outcome = await ping_once(host, jitter_s_degraded=0.001)
    seen = outcome.samples
    assert verdict(outcome) == (Status.DEGRADED, PingReason.JITTER)
    assert (seen["received"], seen["duplicates"], seen["late"]) == (PACKETS, 0, 0)
    assert seen["rtt_min_s"] < 0.1 <= seen["rtt_max_s"]
    # Two in a row differ by the delay when one of them overtook and the other did not.
    assert is_within_error(seen["jitter_s"] / 0.1 * PACKETS / 2, 2 * 0.4 * 0.6, PACKETS // 2)


async def test_a_link_that_loses_everything_is_down() -> None:
    with bad_link_between("raw", Rules(loss=1.0)):
        outcome = await ping_once("10.90.0.2")
    assert verdict(outcome) == (Status.DOWN, PingReason.NO_REPLY)
