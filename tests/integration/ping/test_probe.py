"""A neighbour on a good cable: what is sent, what is measured."""

import pytest

from libs.model.outcome import Reason, Status
from libs.net.egress import EgressPolicy
from services.ping.spec import PingReason
from tests.support.netns import Namespace
from tests.support.targets.pinging import pinged, verdict

UP = (Status.UP, Reason.OK)
pytestmark = pytest.mark.usefixtures("there")


@pytest.mark.parametrize("host", ["10.70.0.2", "fd70::2"])
async def test_a_neighbour_that_answers_is_up(way: str, host: str) -> None:
    del way
    outcome = await pinged(host, packets=3)
    assert verdict(outcome) == UP
    seen = outcome.samples
    assert [seen[name] for name in ("sent", "received", "duplicates", "late", "damaged", "loss_ratio")] == [
        *(3, 3, 0, 0, 0, 0)
    ]
    assert 0 < seen["rtt_min_s"] <= seen["rtt_median_s"] <= seen["rtt_max_s"] == seen["rtt_p95_s"]
    assert seen["rtt_min_s"] <= seen["rtt_avg_s"] <= seen["rtt_max_s"]
    (hop,) = outcome.hops
    assert hop.facts == {"ip_protocol": 6 if ":" in host else 4, "reply_ttl": 64}


@pytest.mark.parametrize("host", ["10.70.0.2", "fd70::2"])
@pytest.mark.parametrize("size_bytes", [16, 1400, 20_001])
async def test_packets_of_every_size_come_back_whole(way: str, host: str, size_bytes: int) -> None:
    del way
    assert verdict(await pinged(host, packets=2, size_bytes=size_bytes)) == UP


@pytest.mark.parametrize("host", ["10.70.0.2", "fd70::2"])
async def test_what_is_too_large_for_our_own_link_is_our_fault(way: str, host: str) -> None:
    del way
    outcome = await pinged(host, packets=2, size_bytes=1500, dont_fragment=True)
    assert verdict(outcome) == (Status.UNKNOWN, PingReason.PACKET_TOO_LARGE)
    fits = 1472 if "." in host else 1452
    assert verdict(await pinged(host, packets=2, size_bytes=fits, dont_fragment=True)) == UP


@pytest.mark.parametrize("host", ["10.70.0.2", "fd70::2"])
async def test_silence_is_down_after_the_patience_of_a_packet(way: str, there: Namespace, host: str) -> None:
    del way
    there.run("nft add table inet mute")
    there.run("nft add chain inet mute input { type filter hook input priority 0 ; }")
    there.run("nft add rule inet mute input icmp type echo-request drop")
    there.run("nft add rule inet mute input icmpv6 type echo-request drop")
    try:
        outcome = await pinged(host, packets=2, packet_timeout_s=0.3)
    finally:
        there.run("nft delete table inet mute")
    assert verdict(outcome) == (Status.DOWN, PingReason.NO_REPLY)
    assert outcome.samples["loss_ratio"] == 1
    assert not {name for name in outcome.samples if name.startswith(("rtt", "jitter"))}
    assert outcome.samples["ping_s"] < 4


async def test_an_address_that_may_not_be_reached_sees_no_packet(way: str, there: Namespace) -> None:
    del way
    there.run("nft add table inet count")
    there.run("nft add chain inet count input { type filter hook input priority 0 ; }")
    there.run("nft add rule inet count input ip daddr 10.70.0.3 counter")
    try:
        outcome = await pinged("10.70.0.3", egress=EgressPolicy(private=False))
        counted = there.run("nft list table inet count")
    finally:
        there.run("nft delete table inet count")
    assert verdict(outcome) == (Status.UNKNOWN, Reason.EGRESS_REFUSED)
    assert "packets 0" in counted


async def test_a_family_without_a_route_is_not_the_targets_fault(way: str) -> None:
    del way
    assert verdict(await pinged("10.99.0.1")) == (Status.UNKNOWN, Reason.NO_ROUTE)
    assert verdict(await pinged("fd99::1")) == (Status.UNKNOWN, Reason.NO_ROUTE)
