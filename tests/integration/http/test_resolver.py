"""Name resolution: failures of the target's name, and failures of the resolver."""

import time

import pytest

from libs.model.outcome import Reason, Status
from libs.net.resolver import Resolver
from libs.net.verdict import Verdict
from services.http.spec import HttpSpec
from tests.support.targets.dns import name_server
from tests.support.targets.probing import check_probe
from tests.support.targets.web import page, says, serving

ZONE: dict[tuple[str, str] | str, str] = {
    ("web.example", "A"): "127.0.0.1",
    ("six.example", "AAAA"): "::1",
    ("both.example", "A"): "127.0.0.2 127.0.0.1",
    ("both.example", "AAAA"): "::1",
    ("mail.example", "MX"): "",
    ("localhost", "A"): "192.0.2.1",
    "gone.example": "nxdomain",
    "broken.example": "servfail",
    "secret.example": "refused",
    "slow.example": "silent",
}

FAULTS = {
    "gone.example": (Status.DOWN, Reason.NAME_NOT_FOUND),
    "never-heard-of.example": (Status.DOWN, Reason.NAME_NOT_FOUND),
    "mail.example": (Status.DOWN, Reason.NAME_NOT_FOUND),
    "broken.example": (Status.UNKNOWN, Reason.RESOLVER_FAILED),
    "secret.example": (Status.UNKNOWN, Reason.RESOLVER_FAILED),
    "slow.example": (Status.UNKNOWN, Reason.RESOLVER_FAILED),
}


async def resolve(host: str, timeout_s: float = 2.0) -> list[str] | Verdict:
    async with name_server(ZONE) as (server, _), Resolver([server]) as resolver:
        found = await resolver.resolve(host, 80, time.monotonic() + timeout_s)
    return found if isinstance(found, Verdict) else [address.host for address in found]


@pytest.mark.parametrize("host", FAULTS)
async def test_a_failed_look_up_is_down_or_unknown(host: str) -> None:
    found = await resolve(host, timeout_s=0.5)
    assert isinstance(found, Verdict)
    assert (found.status, found.reason) == FAULTS[host]
    assert host in found.detail


async def test_addresses_come_as_the_server_ordered_them() -> None:
    assert await resolve("both.example") == ["127.0.0.2", "127.0.0.1"]


async def test_a_name_with_ipv6_addresses_only_is_found() -> None:
    assert await resolve("six.example") == ["::1"]


@pytest.mark.parametrize("host", ["localhost", "localhost.", "LOCALHOST.", "web.localhost."])
async def test_localhost_names_resolve_to_loopback_without_a_query(host: str) -> None:
    async with name_server(ZONE) as (server, names), Resolver([server]) as resolver:
        found = await resolver.resolve(host, 80, time.monotonic() + 2)
    assert not isinstance(found, Verdict)
    assert (found[0].host, found[0].port, names.asked.total()) == ("127.0.0.1", 80, 0)


async def test_an_unreachable_dns_server_is_unknown() -> None:
    async with name_server(ZONE) as (server, _):
        pass
    async with Resolver([server]) as resolver:
        found = await resolver.resolve("web.example", 80, time.monotonic() + 2)
    assert isinstance(found, Verdict)
    assert (found.status, found.reason) == (Status.UNKNOWN, Reason.RESOLVER_FAILED)


async def test_a_named_target_has_a_resolve_phase() -> None:
    async with name_server(ZONE) as (server, _), serving(says(page())) as port:
        outcome = await check_probe(HttpSpec(url=f"http://web.example:{port}/"), nameservers=(server,))
    assert outcome.status is Status.UP
    assert outcome.hops[0].address == "127.0.0.1"
    assert list(outcome.hops[0].phases) == ["resolve_s", "connect_s", "first_byte_s", "transfer_s"]


async def test_a_silent_resolver_ends_the_check_before_its_deadline() -> None:
    async with name_server(ZONE) as (server, _):
        outcome = await check_probe(HttpSpec(url="http://slow.example/"), timeout_s=0.4, nameservers=(server,))
    assert (outcome.status, outcome.reason) == (Status.UNKNOWN, Reason.RESOLVER_FAILED)
    assert list(outcome.hops[0].phases) == ["resolve_s"]
