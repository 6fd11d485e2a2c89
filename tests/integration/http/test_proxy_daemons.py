"""Compatibility with tinyproxy (HTTP) and microsocks (SOCKS5)."""

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from libs.model.outcome import Outcome, Status
from services.http.spec import HttpReason, HttpSpec
from tests.support.ports import free_port
from tests.support.targets.certificates import Authority
from tests.support.targets.daemons import PASSWORD, USERNAME, running_proxy
from tests.support.targets.probing import check_probe
from tests.support.targets.web import page, says, serving

SCHEMES = {"tinyproxy": ["http"], "microsocks": ["socks5", "socks5h"]}
OURS = [pytest.param((name, scheme), id=scheme) for name, schemes in SCHEMES.items() for scheme in schemes]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def secure(authority: Authority) -> ssl.SSLContext:
    return authority.server("localhost")


@pytest.fixture(params=OURS)
def proxy(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    name, scheme = request.param
    with running_proxy(name, tmp_path) as port:
        yield f"{scheme}://127.0.0.1:{port}"


async def probed(url: str, proxy: str, *, ca_file: Path | None = None, password: str = PASSWORD) -> Outcome:
    options: dict[str, Any] = {"proxy": proxy, "proxy_auth": {"username": USERNAME, "password": password}}
    return await check_probe(msgspec.convert({"kind": "http", "url": url} | options, HttpSpec), ca_file=ca_file)


async def test_plain_http_and_tls_go_through(proxy: str, authority: Authority, secure: ssl.SSLContext) -> None:
    async with serving(says(page())) as plain, serving(says(page()), secure) as tls:
        outcomes = [
            await probed(f"http://localhost:{plain}/", proxy),
            await probed(f"https://localhost:{tls}/", proxy, ca_file=authority.ca_file),
        ]
    assert [outcome.status for outcome in outcomes] == [Status.UP, Status.UP], outcomes
    assert "proxy_s" in outcomes[1].hops[0].phases


async def test_rejected_credentials_are_unknown(proxy: str) -> None:
    outcome = await probed("https://localhost:443/", proxy, password="wrong")
    assert (outcome.status, outcome.reason) == (Status.UNKNOWN, HttpReason.PROXY_FAILED), outcome


async def test_a_port_without_a_listener(proxy: str) -> None:
    """Tinyproxy sends 500, which also means a failure of its own, and is treated as that."""
    outcome = await probed(f"https://localhost:{free_port()}/", proxy)
    said = (Status.UNKNOWN, HttpReason.PROXY_FAILED), (Status.DOWN, HttpReason.PROXY_TARGET_UNREACHABLE)
    assert (outcome.status, outcome.reason) == said[proxy.startswith("socks5")], outcome


async def test_a_rule_of_the_proxy_is_unknown(tmp_path: Path) -> None:
    with running_proxy("tinyproxy", tmp_path) as port:
        outcome = await probed("https://forbidden.example/", f"http://127.0.0.1:{port}")
    assert (outcome.status, outcome.reason) == (Status.UNKNOWN, HttpReason.PROXY_REFUSED), outcome
