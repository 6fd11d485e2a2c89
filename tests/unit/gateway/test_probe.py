"""The parts of GET /probe that need no bus: times, names, who comes in."""

import asyncio
import base64
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.model.networks import networks
from libs.model.refusal import RefusedError
from services.gateway.client import seen_through
from services.gateway.denial import DeniedError, Fault
from services.gateway.native.shapes import TIMEOUT_S_MAX, TIMEOUT_S_MIN
from services.gateway.probe import timing
from services.gateway.probe.entrance import NOBODY, Entrance, _as_bearer
from services.gateway.probe.exposition import _hash, _instant_s, names

SCRAPES = st.floats(min_value=0.01, max_value=600)


@pytest.mark.parametrize(
    ("module_s", "header", "timeout_s"),
    [
        *((None, "", 9.5), (None, "5", 4.5), (2.0, "5", 2.0), (20.0, "5", 4.5), (1.0, "0.4", 1.0)),
        *((None, "120", 60.0), (None, "0.4", 0.1), (None, "0", 9.5)),
    ],
)
def test_a_probe_ends_half_a_second_before_its_scrape(module_s: float | None, header: str, timeout_s: float) -> None:
    assert timing.timeout_s(module_s, timing.scrape_s(header)) == timeout_s


@given(st.none() | st.floats(min_value=TIMEOUT_S_MIN, max_value=TIMEOUT_S_MAX), SCRAPES)
def test_a_result_is_awaited_longer_than_it_may_take_and_not_beyond_the_scrape(module_s: Any, scrape_s: float) -> None:
    timeout_s = timing.timeout_s(module_s, scrape_s)
    wait_s = timing.wait_s(timeout_s, scrape_s)
    assert TIMEOUT_S_MIN <= timeout_s <= TIMEOUT_S_MAX
    assert timeout_s + 0.3 < wait_s <= timeout_s + 2
    assert wait_s < scrape_s or scrape_s < timeout_s + timing.OFFSET_S + 1e-9


@pytest.mark.parametrize("header", ["abc", "nan", "inf", "-1", "1s"])
def test_a_scrape_timeout_that_is_no_number_is_refused(header: str) -> None:
    with pytest.raises(RefusedError) as caught:
        timing.scrape_s(header)
    assert caught.value.refusal.field == "X-Prometheus-Scrape-Timeout-Seconds"


def test_addresses_and_the_rest_are_no_names() -> None:
    assert names("a.example, 192.0.2.1, *.b.example, 2001:db8::1, and 3 more") == ["a.example", "*.b.example"]
    assert names("") == []


@pytest.mark.parametrize(("address", "hashed"), [("127.0.0.1", 3668918509), ("::1", 1751717746), (None, 0)])
def test_the_hash_of_an_address_is_that_of_blackbox_exporter(address: str | None, hashed: int) -> None:
    assert _hash(address) == hashed


def test_no_instant_is_the_first_that_go_knows() -> None:
    first = datetime(1, 1, 1, tzinfo=UTC)
    assert _instant_s(None) == (first - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()


def header_of(text: str) -> bytes:
    return b"Basic " + base64.b64encode(text.encode())


@pytest.mark.parametrize(
    ("given_header", "read"),
    [
        *((header_of("me:vdt_x"), b"Bearer vdt_x"), (header_of(":vdt_x"), b"Bearer vdt_x")),
        *((header_of("me:a:b"), b"Bearer a:b"), (b"basic " + header_of("a:b")[6:], b"Bearer b")),
        *((b"Basic !", b"Basic !"), (b"Bearer x", b"Bearer x"), (b"", b"")),
    ],
)
def test_a_password_is_a_key(given_header: bytes, read: bytes) -> None:
    assert _as_bearer(given_header) == read


def admitted(address: str, trusted: tuple[str, ...] = (), **headers: str) -> bool:
    """Tells whether somebody without a key comes in from `address`, where `trusted` proxies are believed."""
    nobody: Any = None
    scope: Any = {
        "type": "http",
        "client": (address, 1),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }

    async def inside(*_: Any) -> None:
        assert scope["user"] is NOBODY

    entrance = Entrance(nobody, nobody, ["127.0.0.0/8", "::1", "10.0.0.0/8"])
    try:
        scope = seen_through(scope, networks(trusted))
        asyncio.run(entrance.handle(scope, nobody, nobody, inside))
    except DeniedError as error:
        return error.fault is not Fault.KEY_MISSING
    return True


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1:8080", "[::1]:8080", "gateway", "", "localhost."])
def test_programs_on_this_machine_need_no_key(host: str) -> None:
    assert admitted("127.0.0.1", host=host)
    assert admitted("::1", host=host)


def test_strangers_proxies_and_web_pages_need_one() -> None:
    assert not admitted("192.0.2.1", host="localhost")
    assert not admitted("", host="localhost")
    for header in ("x_forwarded_for", "forwarded", "via", "x_real_ip"):
        assert not admitted("127.0.0.1", host="localhost", **{header: "x"})
    assert not admitted("127.0.0.1", host="localhost", sec_fetch_site="cross-site")
    assert admitted("127.0.0.1", host="localhost", sec_fetch_site="none")
    assert not admitted("127.0.0.1", host="rebound.example:8080")
    assert not admitted("::ffff:127.0.0.1", host="rebound.example:8080")
    assert admitted("10.1.2.3", host="vedette.internal.example:8080")


PROXY = "192.0.2.80"


@pytest.mark.parametrize(
    ("headers", "comes_in"),
    [
        ({"x_forwarded_for": "10.1.2.3", "via": "1.1 proxy", "x_real_ip": "10.1.2.3"}, True),
        ({"x_forwarded_for": "10.1.2.3:4711"}, True),
        ({"x_forwarded_for": "203.0.113.9"}, False),
        ({"x_forwarded_for": "10.1.2.3, 203.0.113.9"}, False),  # the first is what the stranger says
        ({"x_forwarded_for": "203.0.113.9, 10.1.2.3"}, False),  # 10.1.2.3 is a proxy, of which nobody said so
        ({"x_forwarded_for": "10.1.2.3, unknown"}, False),
        ({"x_forwarded_for": "10.1.2.3, "}, False),
        ({"x_real_ip": "10.1.2.3"}, False),
        ({"forwarded": "for=10.1.2.3"}, False),
        ({}, False),
    ],
)
def test_behind_a_trusted_proxy_the_address_that_it_saw_counts(headers: dict[str, str], comes_in: bool) -> None:
    assert admitted(PROXY, (PROXY,), host="vedette.example", **headers) is comes_in
    assert not admitted(PROXY, ("192.0.2.81",), host="vedette.example", **headers)


def test_a_trusted_proxy_on_an_allowed_address_does_not_lend_it() -> None:
    for said in ("203.0.113.9", "unknown", "", "_hidden", "127.0.0.1, garbage"):
        assert not admitted("127.0.0.1", ("127.0.0.1",), host="localhost", x_forwarded_for=said)
    assert admitted("127.0.0.1", ("127.0.0.1",), host="localhost")
