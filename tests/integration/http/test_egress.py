"""The egress policy applies to every hop, however an address is written or named."""

import pytest

from libs.model.outcome import Outcome, Reason, Status
from libs.net.egress import EgressPolicy
from services.http.spec import HttpSpec
from tests.support.targets.dns import name_server
from tests.support.targets.probing import check_probe
from tests.support.targets.web import moved, page, routes, says, serving

PUBLIC = EgressPolicy(private=False)
REFUSED = (Status.UNKNOWN, Reason.EGRESS_REFUSED)
CREDENTIALS = "latest/meta-data/iam/security-credentials/"
WAYS_TO_METADATA = (
    "http://169.254.169.254",
    "http://169.254.169.254:80",
    "http://[::ffff:169.254.169.254]",
    "http://[64:ff9b::a9fe:a9fe]",
    "http://[2002:a9fe:a9fe::1]",
    "http://[fd00:ec2::254]",
    "https://100.100.100.200",
)


def verdict(outcome: Outcome) -> tuple[Status, str]:
    return outcome.status, outcome.reason


@pytest.mark.parametrize("way", WAYS_TO_METADATA)
async def test_a_redirect_to_metadata_is_refused_where_private_addresses_are_reached(way: str) -> None:
    async with serving(says(moved(f"{way}/{CREDENTIALS}"))) as port:
        outcome = await check_probe(HttpSpec(url=f"http://127.0.0.1:{port}/"))
    assert verdict(outcome) == REFUSED
    assert "cloud metadata" in outcome.detail
    assert outcome.hops[0].address == "127.0.0.1"
    assert (len(outcome.hops), outcome.hops[1].phases.keys()) == (2, {"connect_s"})


async def test_a_redirect_to_a_private_address_is_refused_on_a_shared_prober() -> None:
    egress = EgressPolicy(private=False, allow=["127.0.0.1"])
    async with serving(says(moved("http://127.0.0.2:9/"))) as port:
        outcome = await check_probe(HttpSpec(url=f"http://127.0.0.1:{port}/"), egress=egress)
    assert verdict(outcome) == REFUSED
    assert outcome.detail == "Our egress policy refuses 127.0.0.2: loopback (127.0.0.0/8)."


async def test_the_resolved_address_is_checked() -> None:
    seen: list[bytes] = []
    zone: dict[tuple[str, str] | str, str] = {("rebound.example", "A"): "127.0.0.1"}
    async with name_server(zone) as (server, _), serving(routes({"/": page()}, seen)) as port:
        spec = HttpSpec(url=f"http://rebound.example:{port}/")
        refused = await check_probe(spec, nameservers=(server,), egress=PUBLIC)
        reached = await check_probe(spec, nameservers=(server,))
    assert verdict(refused) == REFUSED
    assert refused.hops[0].address == "127.0.0.1"
    assert reached.status is Status.UP
    assert len(seen) == 1
