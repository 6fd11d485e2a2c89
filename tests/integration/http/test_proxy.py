"""Through a proxy: verdicts on target and proxy, and secrets sent to their recipient only."""

import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest

from libs.model.fields.tls import TlsReason
from libs.model.outcome import Outcome, Reason, Status
from libs.net.egress import EgressPolicy
from services.http.spec import HttpReason, HttpSpec
from tests.support.targets import web
from tests.support.targets.case import Case
from tests.support.targets.certificates import Authority
from tests.support.targets.dns import name_server
from tests.support.targets.probing import check_probe
from tests.support.targets.proxies import PASSWORD, USERNAME, Passed, http_proxy, socks_proxy
from tests.support.targets.proxy_cases import PROXIED, turn
from tests.support.targets.web import Handler, deaf_port, moved, page, routes, says, serving

AUTH = {"username": USERNAME, "password": PASSWORD}
OK = says(page())
KINDS = {"http": http_proxy, "socks5": socks_proxy}
PUBLIC = EgressPolicy(private=False, allow=["127.0.0.1"])


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def secure(authority: Authority) -> ssl.SSLContext:
    return authority.server("127.0.0.1", "shop.example")


def spec_of(options: dict[str, Any], **more: Any) -> HttpSpec:
    return msgspec.convert({"kind": "http"} | options | more, HttpSpec)


def verdict(outcome: Outcome) -> tuple[Status, str]:
    return outcome.status, outcome.reason


@contextlib.asynccontextmanager
async def serving_behind(
    kind: str, handler: Handler = OK, tls: ssl.SSLContext | None = None, *, wants: bool = False
) -> AsyncIterator[tuple[int, str, Passed]]:
    """Serves a target, and a proxy that alone resolves it as shop.example; yields port, option and the requests seen."""
    async with serving(handler, tls) as port, KINDS[kind](wants=wants, shop_example="127.0.0.1") as (proxy, passed):
        yield port, proxy, passed


@pytest.mark.parametrize("case", PROXIED, ids=lambda case: case.name)
async def test_a_failed_proxy_handshake_gets_its_verdict(case: Case) -> None:
    async with serving(case.handler) as port:
        spec = spec_of(case.options, proxy=f"{case.options['proxy']}://127.0.0.1:{port}")
        outcome = await check_probe(spec, timeout_s=case.timeout_s)
    assert verdict(outcome) == case.expected, outcome
    assert outcome.detail.endswith(".")
    assert f"127.0.0.1:{port}" in outcome.detail
    assert outcome.hops[0].facts["proxy"] == f"127.0.0.1:{port}"
    assert sum(outcome.hops[0].phases.values()) <= outcome.samples["total_s"]


@pytest.mark.parametrize("kind", ["http", "socks5"])
@pytest.mark.parametrize("wants", [False, True], ids=["open", "credentials"])
async def test_plain_http_goes_through(kind: str, *, wants: bool) -> None:
    async with serving_behind(kind, wants=wants) as (port, proxy, passed):
        auth = AUTH if wants else None
        outcome = await check_probe(spec_of({"url": f"http://127.0.0.1:{port}/a?b"}, proxy=proxy, proxy_auth=auth))
    assert outcome.status is Status.UP, outcome
    assert passed.goals == [("127.0.0.1", port)]


@pytest.mark.parametrize("kind", ["http", "socks5"])
@pytest.mark.parametrize("wants", [False, True], ids=["open", "credentials"])
async def test_tls_is_end_to_end_with_the_target(
    kind: str, authority: Authority, secure: ssl.SSLContext, *, wants: bool
) -> None:
    async with serving_behind(kind, tls=secure, wants=wants) as (port, proxy, _):
        options = {"url": f"https://shop.example:{port}/", "proxy_auth": AUTH if wants else None}
        spec = spec_of(options, proxy=proxy.replace("socks5:", "socks5h:"))
        outcome = await check_probe(spec, ca_file=authority.ca_file)
    hop = outcome.hops[0]
    assert outcome.status is Status.UP, outcome
    assert list(hop.phases) == ["connect_s", "proxy_s", "tls_s", "first_byte_s", "transfer_s"]
    assert hop.facts["proxy"] == proxy.partition("://")[2]
    assert (hop.address, hop.facts["proxy_target"]) == ("127.0.0.1", f"shop.example:{port}")
    assert hop.facts["tls_subject"] == "127.0.0.1"
    assert outcome.samples["proxy_s"] == hop.phases["proxy_s"]


@pytest.mark.parametrize("kind", ["http", "socks5"])
@pytest.mark.parametrize(("findings", "status"), [("down", Status.DOWN), ("degraded", Status.DEGRADED)])
async def test_a_bad_certificate_behind_a_proxy_is_the_targets(
    kind: str, findings: str, status: Status, authority: Authority
) -> None:
    expired = authority.server("127.0.0.1", days=(-30, -1))
    async with serving_behind(kind, tls=expired) as (port, proxy, passed):
        spec = spec_of({"url": f"https://127.0.0.1:{port}/", "tls_findings": findings}, proxy=proxy)
        outcome = await check_probe(spec, ca_file=authority.ca_file)
    assert verdict(outcome) == (status, TlsReason.TLS_CERTIFICATE_EXPIRED)
    assert len(passed.goals) == (1 if findings == "down" else 2)


@pytest.mark.parametrize("kind", ["http", "socks5"])
async def test_a_failure_behind_an_open_tunnel_is_the_targets(kind: str) -> None:
    async with serving_behind(kind, web.then_reset(b"")) as (port, proxy, _):
        outcome = await check_probe(spec_of({"url": f"https://127.0.0.1:{port}/"}, proxy=proxy))
    assert verdict(outcome) == (Status.DOWN, TlsReason.TLS_RESET)


@pytest.mark.parametrize(("kind", "words"), [("http", "it answered 502 'Bad Gateway'"), ("socks5", "refused")])
async def test_a_target_that_the_proxy_cannot_reach_is_down(kind: str, words: str) -> None:
    async with serving_behind(kind) as (port, proxy, _):
        pass
    async with KINDS[kind]() as (proxy, _):
        outcome = await check_probe(spec_of({"url": f"https://127.0.0.1:{port}/"}, proxy=proxy))
    assert verdict(outcome) == (Status.DOWN, HttpReason.PROXY_TARGET_UNREACHABLE)
    assert words in outcome.detail
    assert list(outcome.hops[0].phases) == ["connect_s", "proxy_s"]


async def test_a_502_to_a_forwarded_request_is_the_response() -> None:
    async with serving_behind("http") as (port, _, _):
        pass
    async with http_proxy() as (proxy, _):
        outcome = await check_probe(spec_of({"url": f"http://127.0.0.1:{port}/"}, proxy=proxy))
    assert verdict(outcome) == (Status.DOWN, HttpReason.STATUS_UNEXPECTED)


async def test_every_hop_uses_the_proxy_and_secrets_reach_their_recipient_only(
    authority: Authority, secure: ssl.SSLContext
) -> None:
    seen: list[bytes] = []
    async with AsyncExitStack() as stack:
        behind = await stack.enter_async_context(serving(routes({"/": page()}, seen), secure))
        front = routes({"/": moved(f"https://127.0.0.1:{behind}/")}, seen)
        port, proxy, passed = await stack.enter_async_context(serving_behind("http", front, wants=True))
        spec = spec_of({"url": f"http://shop.example:{port}/"}, proxy=proxy, proxy_auth=AUTH, bearer_token="for-shop")
        outcome = await check_probe(spec, ca_file=authority.ca_file)
    assert outcome.status is Status.UP, outcome
    assert passed.goals == [("shop.example", port), ("127.0.0.1", behind)]
    assert passed.heads[0].startswith(
        f"GET http://shop.example:{port}/ HTTP/1.1\r\nHost: shop.example:{port}\r\n".encode()
    )
    assert passed.heads[1].startswith(f"CONNECT 127.0.0.1:{behind} HTTP/1.1\r\nHost: 127.0.0.1:{behind}\r\n".encode())
    assert [b"Proxy-Authorization: Basic " in head for head in (*passed.heads, *seen)] == [True, True, False, False]
    assert [b"Authorization: Bearer" in head for head in (*passed.heads, *seen)] == [True, False, True, False]


async def test_socks5_requests_an_address_and_socks5h_a_name() -> None:
    zone: dict[tuple[str, str] | str, str] = {("here.example", "A"): "127.0.0.1"}
    async with name_server(zone) as (server, names), serving(OK) as port, socks_proxy(far_example="127.0.0.1") as made:
        proxy, passed = made
        ours = spec_of({"url": f"http://here.example:{port}/"}, proxy=proxy)
        theirs = spec_of({"url": f"http://far.example:{port}/"}, proxy=proxy.replace("socks5:", "socks5h:"))
        outcomes = [await check_probe(spec, nameservers=(server,)) for spec in (ours, theirs)]
    assert [outcome.status for outcome in outcomes] == [Status.UP, Status.UP]
    assert passed.goals == [("127.0.0.1", port), ("far.example", port)]
    assert ["resolve_s" in outcome.samples for outcome in outcomes] == [True, False]
    assert {name for name, _ in names.asked} == {"here.example"}


async def test_socks5_honours_family_and_resolve_to() -> None:
    zone: dict[tuple[str, str] | str, str] = {("dual.example", "A"): "127.0.0.1", ("dual.example", "AAAA"): "::1"}
    async with name_server(zone) as (server, _), serving(OK, host="::1") as port, socks_proxy() as (proxy, passed):
        url = f"http://dual.example:{port}/"
        for options in ({"family": "6"}, {"resolve_to": "::1"}):
            outcome = await check_probe(spec_of({"url": url} | options, proxy=proxy), nameservers=(server,))
            assert outcome.status is Status.UP, outcome
    assert passed.goals == [("::1", port)] * 2


async def test_a_name_without_an_address_is_down_and_a_proxy_without_one_is_not() -> None:
    async with name_server({"gone.example": "nxdomain"}) as (server, _), socks_proxy() as (proxy, _):
        target = await check_probe(spec_of({"url": "http://gone.example/"}, proxy=proxy), nameservers=(server,))
        lost = spec_of({"url": "http://127.0.0.1/"}, proxy="socks5://gone.example:1080")
        outcome = await check_probe(lost, nameservers=(server,))
    assert verdict(target) == (Status.DOWN, Reason.NAME_NOT_FOUND)
    assert verdict(outcome) == (Status.UNKNOWN, HttpReason.PROXY_FAILED)
    assert list(outcome.hops[0].phases) == ["resolve_s"]


@pytest.mark.parametrize("scheme", ["http", "socks5h"])
async def test_an_unreachable_proxy_is_unknown(scheme: str) -> None:
    async with serving(OK) as port:
        pass
    refused = await check_probe(spec_of({"url": "http://shop.example/"}, proxy=f"{scheme}://127.0.0.1:{port}"))
    with deaf_port() as deaf:
        spec = spec_of({"url": "http://shop.example/"}, proxy=f"{scheme}://127.0.0.1:{deaf}")
        silent = await check_probe(spec, timeout_s=0.3)
    assert verdict(refused) == verdict(silent) == (Status.UNKNOWN, HttpReason.PROXY_FAILED)
    assert ("refused" in refused.detail, "in time" in silent.detail) == (True, True)


@pytest.mark.parametrize("kind", ["http", "socks5"])
@pytest.mark.parametrize("url", ["http://127.0.0.2:9/", "https://[::ffff:10.0.0.1]/", "http://169.254.169.254/"])
async def test_a_refused_address_is_not_requested_from_the_proxy(kind: str, url: str) -> None:
    async with KINDS[kind]() as (proxy, passed), serving(says(moved(url))) as port:
        direct = await check_probe(spec_of({"url": url}, proxy=proxy), egress=PUBLIC)
        led = await check_probe(spec_of({"url": f"http://127.0.0.1:{port}/"}, proxy=proxy), egress=PUBLIC)
    assert verdict(direct) == verdict(led) == (Status.UNKNOWN, Reason.EGRESS_REFUSED)
    assert passed.goals == [("127.0.0.1", port)]


async def test_a_resolved_target_address_is_checked_too() -> None:
    async with name_server({("in.example", "A"): "127.0.0.2"}) as (server, _), socks_proxy() as (proxy, passed):
        spec = spec_of({"url": "http://in.example/"}, proxy=proxy)
        outcome = await check_probe(spec, nameservers=(server,), egress=PUBLIC)
    assert verdict(outcome) == (Status.UNKNOWN, Reason.EGRESS_REFUSED)
    assert passed.goals == []


async def test_the_address_of_the_proxy_is_checked() -> None:
    async with http_proxy() as (proxy, passed):
        spec = spec_of({"url": "http://192.0.2.1/"}, proxy=proxy)
        outcome = await check_probe(spec, egress=EgressPolicy(private=False, allow=["192.0.2.1"]))
    assert verdict(outcome) == (Status.UNKNOWN, Reason.EGRESS_REFUSED)
    assert "127.0.0.1" in outcome.detail
    assert passed.heads == []


async def test_proxy_environment_variables_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(OK) as port, http_proxy() as (trap, passed):
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, trap)
            monkeypatch.setenv(name.lower(), trap)
        outcome = await check_probe(HttpSpec(url=f"http://127.0.0.1:{port}/"))
    assert outcome.status is Status.UP
    assert passed.heads == []


async def test_credentials_echoed_by_the_proxy_are_redacted() -> None:
    echo = web.blurts(f"HTTP/1.1 407 You said {PASSWORD}\r\n\r\n".encode())
    async with serving(echo) as port:
        spec = spec_of({"url": "https://shop.example/", "proxy_auth": AUTH}, proxy=f"http://127.0.0.1:{port}")
        outcome = await check_probe(spec)
    assert "407" in outcome.detail
    assert PASSWORD not in repr(outcome) + repr(spec)


async def test_bytes_right_after_the_proxy_reply_are_the_targets() -> None:
    eager = web.blurts(
        b"HTTP/1.1 103 Soon\r\n\r\nHTTP/1.1 200 Open\r\nContent-Length: 99\r\n\r\n\x15\x03\x01\x00\x02\x02\x28"
    )
    async with serving(eager) as port:
        spec = spec_of({"url": "https://shop.example/"}, proxy=f"http://127.0.0.1:{port}")
        outcome = await check_probe(spec)
    assert verdict(outcome) == (Status.DOWN, TlsReason.TLS_FAILED)


async def test_a_response_right_after_the_proxy_reply_is_the_targets() -> None:
    async with serving(turn(b"\x05\x00", b"\x05\x00\x00\x01" + bytes(6) + page())) as port:
        outcome = await check_probe(spec_of({"url": "http://shop.example/"}, proxy=f"socks5h://127.0.0.1:{port}"))
    assert outcome.status is Status.UP, outcome
    assert list(outcome.hops[0].phases) == ["connect_s", "proxy_s", "first_byte_s", "transfer_s"]
