"""Against the real `tc netem`, in another kernel: numbers agree with what it was told, and with what it says it did.

It treats the replies alone, so that all echoes of a test are sent through one qdisc, whose counters are then exact.
"""

import asyncio
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import pytest

from libs.model.outcome import Outcome, Reason, Status
from services.ping.spec import PingReason
from tests.support.netem import HOSTS, PLAIN_HOSTS, Guest, Seen, guest
from tests.support.netns import Namespace
from tests.support.targets.pinging import pinged_once, verdict

PACKETS = 100
CHECKS = 2
# By chance it is further away once in a million runs at most: these distributions are a little skewed.
SIGMAS = 6.0
UP = (Status.UP, Reason.OK)
# netem turns one bit of a frame of 98 or 118 bytes. It does no harm in the sender's hardware address, as the one that
# makes an address of many, and over IPv6, whose header has no checksum, in the class, the flow and the hop limit.
HARMLESS = dict(zip(HOSTS, (49 / 784, 85 / 944), strict=True))
# In the checksum, or in the payload behind the token.
SHOWN = 42 / 98


@pytest.fixture(scope="module")
def neighbour(here: Namespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    with guest(here, tmp_path_factory.mktemp("netem")) as made:
        yield made


class NetemMeasurement(NamedTuple):
    """What checks said of the hosts behind netem, and at the same time of those beside it; and what netem said."""

    outcomes: list[Outcome]
    plain: list[Outcome]
    seen: Seen

    def total(self, name: str) -> float:
        return sum(outcome.samples[name] for outcome in self.outcomes)

    def plain_max(self, name: str) -> float:
        """Returns the worst of the same kernel and the same machine at the same time, without netem."""
        return max(outcome.samples[name] for outcome in self.plain)


async def measure(neighbour: Guest, words: str, hosts: Sequence[str] = HOSTS, **options: float) -> NetemMeasurement:
    """Has netem do as `words` say to some hundred echoes; again, when this machine was too busy to tell."""
    for _ in range(5):
        with neighbour.telling(words):
            outcomes = await run_checks([*hosts * CHECKS, *PLAIN_HOSTS], **options)
            seen = neighbour.seen()
        if all(outcome.reason != Reason.LATE_LOOP for outcome in outcomes):
            break
    bad, plain = outcomes[: -len(PLAIN_HOSTS)], outcomes[-len(PLAIN_HOSTS) :]
    print(words, *(outcome.samples for outcome in outcomes), seen, sep="\n  ")
    assert [outcome.samples["received"] for outcome in plain] == [PACKETS] * len(plain)
    return NetemMeasurement(bad, plain, seen)


async def run_checks(hosts: Sequence[str], **options: float) -> list[Outcome]:
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(pinged_once(host, packets=PACKETS, packet_timeout_s=2.0, timeout_s=10, **options))
            for host in hosts
        ]
    return [task.result() for task in tasks]


def is_within_error(seen: float, ratio: float, count: int) -> bool:
    """Tells whether `seen` of `count` may come by chance from a link that does it to a `ratio` of all packets."""
    return abs(seen - ratio * count) <= SIGMAS * math.sqrt(ratio * (1 - ratio) * count)


async def test_the_round_trip_is_longer_by_the_delay(neighbour: Guest, way: str) -> None:
    result = await measure(neighbour, "delay 20ms")
    # One that is delayed waits twice for the neighbour's processor: at the request, and when the delay is over.
    noise_s = 2 * result.plain_max("rtt_max_s")
    for outcome in result.outcomes:
        assert (verdict(outcome), outcome.samples["received"]) == (UP, PACKETS), way
        assert outcome.samples["rtt_min_s"] >= 0.02
        assert 0.02 <= outcome.samples["rtt_median_s"] <= 0.02 + noise_s


async def test_lost_packets_are_those_that_netem_lost(neighbour: Guest, way: str) -> None:
    result = await measure(neighbour, "loss 30%", loss_ratio_degraded=0.01)
    sent = PACKETS * len(result.outcomes)
    lost = sent - result.total("received")
    assert {verdict(outcome) for outcome in result.outcomes} == {(Status.DEGRADED, PingReason.LOSS)}, way
    assert (lost, result.total("late"), result.total("duplicates")) == (result.seen.lost, 0, 0)
    assert result.total("loss_ratio") * PACKETS == pytest.approx(lost)
    assert is_within_error(lost, 0.3, sent)


async def test_repeated_packets_are_those_that_netem_repeated(neighbour: Guest, way: str) -> None:
    result = await measure(neighbour, "duplicate 40%")
    sent, duplicates = PACKETS * len(result.outcomes), result.total("duplicates")
    assert {verdict(outcome) for outcome in result.outcomes} == {UP}, way
    assert (result.total("received"), result.seen.lost) == (sent, 0)
    # A check ends with the first answer to its last packet; the second one may find nobody.
    assert 0 <= result.seen.passed - sent - duplicates <= len(result.outcomes)
    assert is_within_error(duplicates, 0.4, sent)


async def test_replies_that_overtake_each_other_are_all_found(neighbour: Guest, way: str) -> None:
    result = await measure(neighbour, "delay 100ms reorder 25%")
    assert (result.total("received"), result.total("duplicates"), result.total("late")) == (
        PACKETS * len(result.outcomes),
        0,
        0,
    ), way
    for outcome in result.outcomes:
        assert verdict(outcome) == UP
        # Three of four are delayed; by a reply to another packet it would be ten milliseconds less, or more.
        assert outcome.samples["rtt_min_s"] < 0.1 <= outcome.samples["rtt_median_s"]
        assert outcome.samples["rtt_median_s"] <= 0.1 + 2 * result.plain_max("rtt_max_s")


async def test_damaged_replies_do_not_count(neighbour: Guest, way: str) -> None:
    result = await measure(neighbour, "corrupt 50%")
    for host, harmless in HARMLESS.items():
        mine = [outcome for outcome in result.outcomes if outcome.hops[0].address == host]
        received, damaged = (sum(outcome.samples[name] for outcome in mine) for name in ("received", "damaged"))
        assert is_within_error(received, 0.5 + 0.5 * harmless, PACKETS * CHECKS)
        # Only a raw socket over IPv4 is shown what the kernel would know to be damaged.
        assert is_within_error(damaged, 0.5 * SHOWN if (way, host) == ("raw", HOSTS[0]) else 0.0, PACKETS * CHECKS)
