"""ICMP errors from a router become reasons, with their codes and with who said them."""

from collections.abc import Iterator

import pytest

from libs.model.outcome import Outcome, Reason, Status
from services.ping.spec import PingReason
from tests.support.netns import Namespace, join, namespace
from tests.support.targets.pinging import pinged, verdict

# What the router does with a packet to a network behind it. All names of networks end in it: 10.N.0.0/16 and fdN::/64.
ROUTES = {
    81: "ip route add unreachable {net}",
    82: "ip route add prohibit {net}",
    83: "ip route add throw {net}",
}
REJECTS = {
    84: ("icmp type host-prohibited", "icmpv6 type policy-fail"),
    85: ("icmp type net-unreachable", "icmpv6 type no-route"),
    86: ("icmp type port-unreachable", "icmpv6 type port-unreachable"),
    87: ("icmp type prot-unreachable", "icmpv6 type addr-unreachable"),
    88: ("icmp type admin-prohibited", "icmpv6 type reject-route"),
}
EXPECTED = {
    "10.81.0.9": (PingReason.HOST_UNREACHABLE, 3, 1),
    "10.82.0.9": (PingReason.PROHIBITED, 3, 13),
    "10.83.0.9": (PingReason.NET_UNREACHABLE, 3, 0),
    "10.84.0.9": (PingReason.PROHIBITED, 3, 10),
    "10.85.0.9": (PingReason.NET_UNREACHABLE, 3, 0),
    "10.86.0.9": (PingReason.PORT_UNREACHABLE, 3, 3),
    "10.87.0.9": (PingReason.PROTOCOL_UNREACHABLE, 3, 2),
    "10.88.0.9": (PingReason.PROHIBITED, 3, 13),
    "10.72.0.99": (PingReason.HOST_UNREACHABLE, 3, 1),
    "fd81::9": (PingReason.NET_UNREACHABLE, 1, 0),
    "fd82::9": (PingReason.PROHIBITED, 1, 1),
    "fd84::9": (PingReason.PROHIBITED, 1, 5),
    "fd85::9": (PingReason.NET_UNREACHABLE, 1, 0),
    "fd86::9": (PingReason.PORT_UNREACHABLE, 1, 4),
    "fd87::9": (PingReason.HOST_UNREACHABLE, 1, 3),
    "fd88::9": (PingReason.PROHIBITED, 1, 6),
    "fd72::99": (PingReason.HOST_UNREACHABLE, 1, 3),
}


@pytest.fixture(scope="module", autouse=True)
def router(here: Namespace) -> Iterator[Namespace]:
    """A router between `here` and 10.72.0.0/24, whose last link takes 1400 bytes."""
    with namespace("router") as made, namespace("far") as far:
        join(here, made, 71)
        join(made, far, 72, mtu=1400)
        _route(here, made, far)
        _reject(made)
        yield made


def _route(here: Namespace, router: Namespace, far: Namespace) -> None:
    router.set_sysctl("net/ipv4/ip_forward", "1")
    router.set_sysctl("net/ipv6/conf/all/forwarding", "1")
    for path in ("net/ipv4/icmp_ratelimit", "net/ipv6/icmp/ratelimit"):
        router.set_sysctl(path, "0")
    for side, link in ((here, "v71l"), (router, "v72l")):
        for version in (4, 6):  # a neighbour who does not answer is given up three tries later
            side.set_sysctl(f"net/ipv{version}/neigh/{link}/retrans_time_ms", "200")
    for side, gateway in ((here, "71{}2"), (far, "72{}1")):
        side.run(f"ip route add default via 10.{gateway.format('.0.')}")
        side.run(f"ip -6 route add default via fd{gateway.format('::')}")
    for number, command in ROUTES.items():
        router.run(command.format(net=f"10.{number}.0.0/16"))
        router.run(command.format(net=f"fd{number}::/64"))
        # Linux sends few of these errors a second to one address, so that each test has its own.
        here.run(f"ip addr add 10.71.0.{number}/24 dev v71l")
        here.run(f"ip route add 10.{number}.0.0/16 via 10.71.0.2 src 10.71.0.{number}")


def _reject(router: Namespace) -> None:
    router.run("nft add table inet f")
    router.run("nft add chain inet f forward { type filter hook prerouting priority 0 ; }")
    for number, (four, six) in REJECTS.items():
        router.run(f"nft add rule inet f forward ip daddr 10.{number}.0.0/16 reject with {four}")
        router.run(f"nft add rule inet f forward ip6 daddr fd{number}::/64 reject with {six}")


def facts(outcome: Outcome) -> tuple[object, object]:
    return outcome.hops[0].facts["icmp_type"], outcome.hops[0].facts["icmp_code"]


@pytest.mark.parametrize("host", EXPECTED)
async def test_the_word_of_a_router_is_the_reason(way: str, host: str) -> None:
    del way
    outcome = await pinged(host, packets=1, packet_timeout_s=4.0)
    reason, kind, code = EXPECTED[host]
    assert (verdict(outcome), facts(outcome)) == ((Status.DOWN, reason), (kind, code))
    router = "fd71::2" if ":" in host else "10.71.0.2"
    assert outcome.hops[0].facts["icmp_from"] == router
    assert router in outcome.detail


@pytest.mark.parametrize("host", ["10.72.0.2", "fd72::2"])
async def test_a_path_with_more_routers_than_the_ttl(way: str, host: str) -> None:
    del way
    outcome = await pinged(host, packets=2, ttl=1)
    assert verdict(outcome) == (Status.DOWN, PingReason.TTL_EXCEEDED)
    assert facts(outcome) == ((3, 0) if ":" in host else (11, 0))
    outcome = await pinged(host, packets=2, ttl=2)
    assert verdict(outcome) == (Status.UP, Reason.OK)
    assert outcome.hops[0].facts["reply_ttl"] == 63


@pytest.mark.parametrize("host", ["10.72.0.2", "fd72::2"])
async def test_a_link_that_is_too_small_is_told_with_its_size(way: str, host: str) -> None:
    del way
    outcome = await pinged(host, packets=3, size_bytes=1400, dont_fragment=True)
    assert verdict(outcome) == (Status.DOWN, PingReason.FRAGMENTATION_NEEDED)
    assert facts(outcome) == ((2, 0) if ":" in host else (3, 4))
    assert outcome.hops[0].facts["icmp_mtu_bytes"] == 1400
    fits = 1352 if ":" in host else 1372
    assert verdict(await pinged(host, packets=2, size_bytes=fits, dont_fragment=True)) == (Status.UP, Reason.OK)
    # Cut into pieces it passes, from the first packet on.
    outcome = await pinged(host, packets=2, size_bytes=1400)
    assert (verdict(outcome), outcome.samples["loss_ratio"]) == ((Status.UP, Reason.OK), 0)


@pytest.mark.parametrize("host", ["10.71.0.99", "fd71::99"])
async def test_a_neighbour_whom_nobody_finds_is_down_by_our_own_word(way: str, host: str) -> None:
    del way
    outcome = await pinged(host, packets=2, packet_timeout_s=4.0)
    assert verdict(outcome) == (Status.DOWN, PingReason.HOST_UNREACHABLE)
    assert outcome.detail.startswith("This machine cannot find the host")


@pytest.mark.parametrize(("host", "gateway"), [("10.95.0.9", "10.71.0.98"), ("fd95::9", "fd71::98")])
async def test_a_gateway_of_ours_that_is_gone_proves_nothing_about_those_behind(
    way: str, here: Namespace, host: str, gateway: str
) -> None:
    del way
    net = f"{host}/128" if ":" in host else f"{host}/32"
    here.run(f"ip route replace {net} via {gateway}")
    # Having failed before, IPv6 would try a wider route.
    here.run(f"ip neigh flush to {gateway}")
    outcome = await pinged(host, packets=1, packet_timeout_s=4.0)
    assert verdict(outcome) == (Status.UNKNOWN, Reason.NO_ROUTE)
    assert outcome.detail == "This machine cannot reach its gateway."


@pytest.mark.parametrize("verb", ["drop", "reject"])
@pytest.mark.parametrize("host", ["10.72.0.2", "fd72::2"])
async def test_our_own_packet_filter_is_not_the_targets_fault(way: str, here: Namespace, host: str, verb: str) -> None:
    if (way, host, verb) == ("datagram", "fd72::2", "drop"):
        pytest.skip("Linux does not tell a datagram ICMPv6 socket that its packet was dropped")
    here.run("nft add table inet ours")
    here.run("nft add chain inet ours output { type filter hook output priority 0 ; }")
    here.run(f"nft add rule inet ours output {'ip6' if ':' in host else 'ip'} daddr {host} {verb}")
    try:
        outcome = await pinged(host, packets=2)
    finally:
        here.run("nft delete table inet ours")
    assert verdict(outcome) == (Status.UNKNOWN, Reason.EGRESS_REFUSED)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("unreachable", Reason.NO_ROUTE), ("prohibit", Reason.EGRESS_REFUSED), ("blackhole", Reason.NO_ROUTE)],
)
@pytest.mark.parametrize("net", ["10.96.0.0/16", "fd96::/64"])
async def test_our_own_routes_are_not_the_targets_fault(
    way: str, here: Namespace, kind: str, expected: Reason, net: str
) -> None:
    del way
    here.run(f"ip route add {kind} {net}")
    try:
        outcome = await pinged(net.replace(".0/16", ".9").replace("::/64", "::9"), packets=2)
    finally:
        here.run(f"ip route del {kind} {net}")
    assert verdict(outcome) == (Status.UNKNOWN, expected)
