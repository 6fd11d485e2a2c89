"""Parts of GET /probe that need no bus: timeouts, metrics, authentication."""

import asyncio
import base64
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.model.fields.networks import parse_networks
from libs.model.requests.errors import RequestError
from services.gateway.access.errors import AccessDenial, AccessDeniedError
from services.gateway.dialects.native.schemas import TIMEOUT_S_MAX, TIMEOUT_S_MIN
from services.gateway.dialects.prometheus import timeouts
from services.gateway.dialects.prometheus.credentials import ANONYMOUS_PRINCIPAL, ProbeAuthMiddleware, _basic_to_bearer
from services.gateway.dialects.prometheus.metrics import _address_hash, _timestamp_s, host_names
from services.gateway.web.client_address import resolve_client

SCRAPES = st.floats(min_value=0.01, max_value=600)


@pytest.mark.parametrize(
    ("module_s", "header", "timeout_s"),
    [
        *((None, "", 9.5), (None, "5", 4.5), (2.0, "5", 2.0), (20.0, "5", 4.5), (1.0, "0.4", 1.0)),
        *((None, "120", 60.0), (None, "0.4", 0.1), (None, "0", 9.5)),
    ],
)
def test_a_probe_ends_half_a_second_before_its_scrape(module_s: float | None, header: str, timeout_s: float) -> None:
    assert timeouts.probe_timeout_s(module_s, timeouts.scrape_timeout_s(header)) == timeout_s


@given(st.none() | st.floats(min_value=TIMEOUT_S_MIN, max_value=TIMEOUT_S_MAX), SCRAPES)
def test_a_result_is_awaited_longer_than_it_may_take_and_not_beyond_the_scrape(module_s: Any, scrape_s: float) -> None:
    timeout_s = timeouts.probe_timeout_s(module_s, scrape_s)
    wait_s = timeouts.result_wait_s(timeout_s, scrape_s)
    assert TIMEOUT_S_MIN <= timeout_s <= TIMEOUT_S_MAX
    assert timeout_s + 0.3 < wait_s <= timeout_s + 2
    assert wait_s < scrape_s or scrape_s < timeout_s + timeouts.OFFSET_S + 1e-9


@pytest.mark.parametrize("header", ["abc", "nan", "inf", "-1", "1s"])
def test_a_scrape_timeout_that_is_no_number_is_refused(header: str) -> None:
    with pytest.raises(RequestError) as caught:
        timeouts.scrape_timeout_s(header)
    assert caught.value.info.field == "X-Prometheus-Scrape-Timeout-Seconds"


def test_addresses_and_the_rest_are_no_names() -> None:
    assert host_names("a.example, 192.0.2.1, *.b.example, 2001:db8::1, and 3 more") == ["a.example", "*.b.example"]
    assert host_names("") == []


@pytest.mark.parametrize(("address", "hashed"), [("127.0.0.1", 3668918509), ("::1", 1751717746), (None, 0)])
def test_the_hash_of_an_address_is_that_of_blackbox_exporter(address: str | None, hashed: int) -> None:
    assert _address_hash(address) == hashed


def test_no_instant_is_the_first_that_go_knows() -> None:
    first = datetime(1, 1, 1, tzinfo=UTC)
    assert _timestamp_s(None) == (first - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()


def basic_header(text: str) -> bytes:
    return b"Basic " + base64.b64encode(text.encode())


@pytest.mark.parametrize(
    ("given_header", "read"),
    [
        *((basic_header("me:vdt_x"), b"Bearer vdt_x"), (basic_header(":vdt_x"), b"Bearer vdt_x")),
        *((basic_header("me:a:b"), b"Bearer a:b"), (b"basic " + basic_header("a:b")[6:], b"Bearer b")),
        *((b"Basic !", b"Basic !"), (b"Bearer x", b"Bearer x"), (b"", b"")),
    ],
)
def test_a_password_is_a_key(given_header: bytes, read: bytes) -> None:
    assert _basic_to_bearer(given_header) == read


def is_admitted(address: str, trusted: tuple[str, ...] = (), **headers: str) -> bool:
    """Tells whether somebody without a key comes in from `address`, where `trusted` proxies are believed."""
    nobody: Any = None
    scope: Any = {
        "type": "http",
        "client": (address, 1),
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
    }

    async def inside(*_: Any) -> None:
        assert scope["user"] is ANONYMOUS_PRINCIPAL

    entrance = ProbeAuthMiddleware(nobody, nobody, ["127.0.0.0/8", "::1", "10.0.0.0/8"])
    try:
        scope = resolve_client(scope, parse_networks(trusted))
        asyncio.run(entrance.handle(scope, nobody, nobody, inside))
    except AccessDeniedError as error:
        return error.denial is not AccessDenial.KEY_MISSING
    return True


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1:8080", "[::1]:8080", "gateway", "", "localhost."])
def test_programs_on_this_machine_need_no_key(host: str) -> None:
    assert is_admitted("127.0.0.1", host=host)
    assert is_admitted("::1", host=host)


def test_other_addresses_proxies_and_web_pages_need_a_key() -> None:
    assert not is_admitted("192.0.2.1", host="localhost")
    assert not is_admitted("", host="localhost")
    for header in ("x_forwarded_for", "forwarded", "via", "x_real_ip"):
        assert not is_admitted("127.0.0.1", host="localhost", **{header: "x"})
    assert not is_admitted("127.0.0.1", host="localhost", sec_fetch_site="cross-site")
    assert is_admitted("127.0.0.1", host="localhost", sec_fetch_site="none")
    assert not is_admitted("127.0.0.1", host="rebound.example:8080")
    assert not is_admitted("::ffff:127.0.0.1", host="rebound.example:8080")
    assert is_admitted("10.1.2.3", host="vedette.internal.example:8080")


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
    assert is_admitted(PROXY, (PROXY,), host="vedette.example", **headers) is comes_in
    assert not is_admitted(PROXY, ("192.0.2.81",), host="vedette.example", **headers)


def test_a_trusted_proxy_on_an_allowed_address_does_not_lend_it() -> None:
    for said in ("203.0.113.9", "unknown", "", "_hidden", "127.0.0.1, garbage"):
        assert not is_admitted("127.0.0.1", ("127.0.0.1",), host="localhost", x_forwarded_for=said)
    assert is_admitted("127.0.0.1", ("127.0.0.1",), host="localhost")
