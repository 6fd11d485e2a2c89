"""Address families: each gets its own verdict, and no fallback hides a failure."""

import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from libs.model.outcome import Outcome, Reason, Status
from libs.net.egress import EgressPolicy
from services.http.spec import HttpReason, HttpSpec
from tests.support.targets import web
from tests.support.targets.certificates import Authority
from tests.support.targets.dns import name_server
from tests.support.targets.probing import check_probe
from tests.support.targets.web import Handler, moved, page, routes, says, serving

ZONE: dict[tuple[str, str] | str, str] = {
    ("dual.example", "A"): "127.0.0.1",
    ("dual.example", "AAAA"): "::1",
    ("four.example", "A"): "127.0.0.1",
    ("six.example", "AAAA"): "::1",
    "broken.example": "servfail",
    "gone.example": "nxdomain",
}
FAMILY_DOWN = (Status.DEGRADED, HttpReason.FAMILY_DOWN)
OK = says(page())


@contextlib.asynccontextmanager
async def dual(four: Handler | None, six: Handler | None, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serves on one port of 127.0.0.1 and ::1; None for a family without a listener."""
    async with contextlib.AsyncExitStack() as stack:
        port = 0
        if four is not None:
            port = await stack.enter_async_context(serving(four, tls))
        if six is not None:
            port = await stack.enter_async_context(serving(six, tls, host="::1", port=port))
        yield port


async def probed(
    port: int, host: str = "dual.example", *, path: str = "/", timeout_s: float = 5, **options: str
) -> Outcome:
    async with name_server(ZONE) as (server, _):
        spec = HttpSpec(url=f"http://{host}:{port}{path}", **options)  # type: ignore[arg-type]
        return await check_probe(spec, nameservers=(server,), timeout_s=timeout_s)


def verdict(outcome: Outcome) -> tuple[Status, str]:
    return outcome.status, outcome.reason


def protocols(outcome: Outcome) -> list[object]:
    return [hop.facts["ip_protocol"] for hop in outcome.hops]


@pytest.mark.parametrize(("family", "address"), [("any", "127.0.0.1"), ("4", "127.0.0.1"), ("6", "::1")])
async def test_the_selected_family_is_used(family: str, address: str) -> None:
    async with dual(OK, OK) as port:
        outcome = await probed(port, family=family)
    assert verdict(outcome) == (Status.UP, Reason.OK)
    assert [hop.address for hop in outcome.hops] == [address]
    assert protocols(outcome) == [6 if ":" in address else 4]


@pytest.mark.parametrize(("host", "family", "words"), [("six.example", "4", "IPv4"), ("four.example", "6", "IPv6")])
async def test_there_is_no_fallback_to_the_other_family(host: str, family: str, words: str) -> None:
    async with dual(OK, OK) as port:
        outcome = await probed(port, host, family=family)
    assert verdict(outcome) == (Status.DOWN, Reason.NAME_NOT_FOUND)
    assert outcome.detail == f"The name {host} has no {words} address."
    assert protocols(outcome) == [int(family)]


async def test_a_target_with_ipv6_only_needs_no_option() -> None:
    async with dual(None, OK) as port:
        outcome = await probed(port, "six.example")
    assert (verdict(outcome), protocols(outcome)) == ((Status.UP, Reason.OK), [6])


async def test_both_families_are_probed_separately() -> None:
    async with dual(OK, says(page(b"other"))) as port:
        outcome = await probed(port, family="both")
    assert verdict(outcome) == (Status.UP, Reason.OK)
    assert [(hop.address, hop.facts["ip_protocol"]) for hop in outcome.hops] == [("127.0.0.1", 4), ("::1", 6)]
    samples = outcome.samples
    assert (samples["ipv4_body_bytes"], samples["ipv6_body_bytes"]) == (12, 5)
    assert samples["body_bytes"] == {4: 12, 6: 5}[int(samples["ip_protocol"])]
    assert samples["total_s"] == max(samples["ipv4_total_s"], samples["ipv6_total_s"])


@pytest.mark.parametrize(("four", "six"), [(OK, None), (None, OK)])
async def test_one_family_that_refuses_is_never_hidden(four: Handler | None, six: Handler | None) -> None:
    async with dual(four, six) as port:
        outcome = await probed(port, family="both")
    assert verdict(outcome) == FAMILY_DOWN
    assert "The server answered 200." in outcome.detail
    assert f"Over IPv{6 if six is None else 4}: The connection was refused." in outcome.detail
    assert protocols(outcome) == [4, 6]


async def test_a_silent_family_takes_no_time_from_the_other() -> None:
    async with dual(OK, web.then_silence(b"")) as port:
        outcome = await probed(port, family="both", timeout_s=0.6)
    assert verdict(outcome) == FAMILY_DOWN
    assert outcome.samples["ipv4_total_s"] < outcome.samples["ipv6_total_s"]
    assert outcome.samples["ipv4_status_code"] == 200


async def test_a_name_without_an_address_of_one_family_is_half_down() -> None:
    async with dual(OK, None) as port:
        outcome = await probed(port, "four.example", family="both")
    assert verdict(outcome) == FAMILY_DOWN
    assert "Over IPv6: The name four.example has no IPv6 address." in outcome.detail


async def test_both_families_down_are_down_with_the_more_specific_reason() -> None:
    async with dual(OK, OK) as port:
        pass
    assert verdict(await probed(port, family="both")) == (Status.DOWN, Reason.REFUSED)
    assert verdict(await probed(port, "six.example", family="both")) == (Status.DOWN, Reason.REFUSED)
    assert verdict(await probed(port, "gone.example", family="both")) == (Status.DOWN, Reason.NAME_NOT_FOUND)


async def test_a_failed_resolver_is_unknown_for_both_families() -> None:
    assert verdict(await probed(80, "broken.example", family="both")) == (Status.UNKNOWN, Reason.RESOLVER_FAILED)


async def test_each_family_follows_its_own_redirects() -> None:
    seen: list[bytes] = []
    pages = {"/": moved("/there"), "/there": page()}
    async with dual(routes(pages, seen), routes({"/": moved("/gone")})) as port:
        outcome = await probed(port, family="both")
    assert verdict(outcome) == FAMILY_DOWN
    assert protocols(outcome) == [4, 4, 6, 6]
    assert [hop.target.rpartition("/")[2] for hop in outcome.hops] == ["", "there", "", "gone"]
    assert len(seen) == 2


async def test_a_redirect_to_an_address_of_the_other_family_is_invalid() -> None:
    async with serving(OK) as other, dual(None, says(moved(f"http://127.0.0.1:{other}/"))) as port:
        outcome = await probed(port, family="6")
        assert verdict(outcome) == (Status.DOWN, HttpReason.REDIRECT_INVALID)
        assert verdict(await probed(port, "six.example")) == (Status.UP, Reason.OK)
    assert "127.0.0.1, which cannot be reached over IPv6" in outcome.detail


@pytest.mark.parametrize(("address", "protocol"), [("127.0.0.1", 4), ("::1", 6)])
async def test_resolve_to_connects_by_address_and_keeps_the_host(address: str, protocol: int) -> None:
    seen: list[bytes] = []
    async with dual(routes({"/": page()}, seen), routes({"/": page()}, seen)) as port:
        outcome = await check_probe(HttpSpec(url=f"http://gone.example:{port}/", resolve_to=address))
    assert verdict(outcome) == (Status.UP, Reason.OK)
    assert (outcome.hops[0].address, outcome.hops[0].facts["ip_protocol"]) == (address, protocol)
    assert "resolve_s" not in outcome.samples
    assert f"Host: gone.example:{port}\r\n".encode() in seen[0]


async def test_resolve_to_keeps_the_tls_name(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    asked: list[str | None] = []
    context = authority.server("shop.example")
    context.sni_callback = lambda _socket, name, _context: asked.append(name)  # type: ignore[assignment]
    async with serving(OK, context) as port:
        spec = HttpSpec(url=f"https://shop.example:{port}/", resolve_to="127.0.0.1")
        outcome = await check_probe(spec, ca_file=authority.ca_file)
    assert (verdict(outcome), asked) == ((Status.UP, Reason.OK), ["shop.example"])


async def test_resolve_to_applies_to_the_urls_own_host_only() -> None:
    async with serving(OK) as elsewhere:
        answers = {"/": moved("/a"), "/a": moved(f"http://four.example:{elsewhere}/")}
        async with name_server(ZONE) as (server, names), serving(routes(answers), host="127.0.0.2") as port:
            spec = HttpSpec(url=f"http://own.example:{port}/", resolve_to="127.0.0.2")
            outcome = await check_probe(spec, nameservers=(server,))
    assert verdict(outcome) == (Status.UP, Reason.OK)
    assert [hop.address for hop in outcome.hops] == ["127.0.0.2", "127.0.0.2", "127.0.0.1"]
    assert {name for name, _ in names.asked} == {"four.example"}


async def test_resolve_to_does_not_bypass_the_egress_policy() -> None:
    spec = HttpSpec(url="http://shop.example/", resolve_to="169.254.169.254")
    assert verdict(await check_probe(spec)) == (Status.UNKNOWN, Reason.EGRESS_REFUSED)
    spec = HttpSpec(url="http://shop.example/", resolve_to="10.0.0.1")
    outcome = await check_probe(spec, egress=EgressPolicy(private=False))
    assert verdict(outcome) == (Status.UNKNOWN, Reason.EGRESS_REFUSED)
