"""Options that exclude a proxy, and requests to a proxy."""

from typing import Any

import msgspec
import pytest

from libs.kinds.registry import decode_spec
from services.http.client.request import encode_http1, first_request, redirect_request
from services.http.spec import HttpSpec

AUTH = {"username": "watch", "password": "s3cret"}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "another protocol": ({"proxy": "https://a.example:1"}, "proxy must be http://host:port"),
    "no protocol": ({"proxy": "a.example:3128"}, "proxy must be http://host:port"),
    "nothing": ({"proxy": ""}, "proxy must be http://host:port"),
    "no port": ({"proxy": "http://a.example"}, "proxy must name its port"),
    "a port that is none": ({"proxy": "http://a.example:0"}, "proxy must have a port"),
    "credentials inside": ({"proxy": "http://a:PASS@b.example:1"}, "proxy must not hold credentials"),
    "a path": ({"proxy": "http://a.example:1/x"}, "proxy must name a host"),
    "credentials for nobody": ({"proxy": None, "proxy_auth": AUTH}, "proxy_auth needs a proxy"),
    "a colon in the username": ({"proxy_auth": {"username": "a:b", "password": ""}}, "proxy_auth must not have"),
    "a line end in the password": ({"proxy_auth": {"username": "a", "password": "\n"}}, "proxy_auth must not have"),
    "a long password": ({"proxy_auth": {"username": "a", "password": "x" * 4097}}, "proxy_auth must have at most"),
    "no password for SOCKS5": (
        {"proxy": "socks5://a.example:1", "proxy_auth": {"username": "a", "password": ""}},
        "proxy_auth must have 1 to 255 bytes",
    ),
    "a long password for SOCKS5": (
        {"proxy": "socks5h://a.example:1", "proxy_auth": {"username": "a", "password": "ä" * 128}},
        "proxy_auth must have 1 to 255 bytes",
    ),
    "a family that the proxy chooses": ({"family": "4"}, "family must be any with a proxy of http://"),
    "a family that the SOCKS proxy chooses": (
        {"family": "6", "proxy": "socks5h://a.example:1"},
        "family must be any with a proxy of socks5h://",
    ),
    "both families": (
        {"family": "both", "proxy": "socks5://a.example:1"},
        "family both cannot be combined with a proxy",
    ),
    "an address of ours": ({"resolve_to": "192.0.2.1"}, "resolve_to needs a proxy of socks5"),
    "a second Proxy-Authorization": (
        {"headers": {"proxy-authorization": "x"}},
        "headers must not name Proxy-Authorization",
    ),
    "a Host that the proxy replaces": ({"headers": {"HOST": "b.example"}}, "headers must not name Host"),
}
TAKEN = (
    {"proxy_auth": {"username": "ä", "password": ""}},
    {"url": "https://shop.example/", "headers": {"Host": "other.example"}},
    {"proxy": "socks5://a.example:1", "family": "6"},
    {"proxy": "socks5h://a.example:1", "resolve_to": "192.0.2.1", "headers": {"Host": "other.example"}},
)


def decode(**fields: Any) -> HttpSpec:
    given = {"kind": "http", "url": "http://shop.example/a?b", "proxy": "http://a.example:3128"} | fields
    spec = decode_spec(msgspec.json.encode({name: value for name, value in given.items() if value is not None}))
    assert isinstance(spec, HttpSpec)
    return spec


@pytest.mark.parametrize("name", REFUSED)
def test_options_that_exclude_a_proxy_are_refused_with_their_field(name: str) -> None:
    fields, words = REFUSED[name]
    with pytest.raises(msgspec.ValidationError) as refusal:
        decode(**fields)
    assert words in str(refusal.value)
    assert "PASS" not in str(refusal.value)


@pytest.mark.parametrize("fields", TAKEN)
def test_options_beside_a_proxy_are_accepted_and_round_trip(fields: dict[str, Any]) -> None:
    spec = decode(**fields)
    assert decode_spec(msgspec.json.encode(spec)) == spec


def test_proxy_credentials_are_secrets_in_every_encoding() -> None:
    spec = decode(proxy_auth=AUTH)
    assert "proxy_auth" in HttpSpec.secret_options
    assert spec.secrets == {"s3cret", "Basic d2F0Y2g6czNjcmV0", "d2F0Y2g6czNjcmV0"}
    assert "s3cret" not in repr(spec) + repr(spec.proxy_auth) + repr(first_request(spec))


def test_a_forwarding_proxy_gets_the_absolute_url_and_its_credentials() -> None:
    head = encode_http1(first_request(decode(proxy_auth=AUTH, bearer_token="for-shop"))).decode()
    assert head.startswith("GET http://shop.example/a?b HTTP/1.1\r\nHost: shop.example\r\n")
    assert "\r\nProxy-Authorization: Basic d2F0Y2g6czNjcmV0\r\n" in head
    assert "\r\nAuthorization: Bearer for-shop\r\n" in head


@pytest.mark.parametrize(
    "fields", [{"url": "https://shop.example/"}, {"proxy": "socks5://a.example:1"}, {"proxy": None}]
)
def test_a_tunnelled_request_has_no_proxy_headers(fields: dict[str, Any]) -> None:
    auth = None if fields.get("proxy", "") is None else AUTH
    head = encode_http1(first_request(decode(proxy_auth=auth, **fields)))
    assert head.startswith(b"GET /")
    assert b"Proxy-Authorization" not in head


def test_proxy_credentials_are_sent_on_every_hop() -> None:
    request = first_request(decode(proxy_auth=AUTH, bearer_token="for-shop"))
    there = redirect_request(request, 302, "https://other.example/", [])
    back = redirect_request(there, 302, "http://third.example/", [])
    assert b"Proxy-Authorization" not in encode_http1(there)
    assert b"Proxy-Authorization" in encode_http1(back)
    assert b"for-shop" not in encode_http1(there) + encode_http1(back)
