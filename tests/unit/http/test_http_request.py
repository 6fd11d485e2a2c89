"""Encoded requests, and requests after redirects."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.model.fields.url import parse_url
from services.http.client.request import HttpRequest, encode_http1, first_request, redirect_request
from services.http.options.headers import BasicAuth
from services.http.spec import HttpSpec

SECRETS = (("Authorization", "Bearer s"), ("Cookie", "sid=s"), ("X-Api-Key", "s"), ("Host", "s.example"))
HARMLESS = (("Accept-Language", "de"), ("User-Agent", "ours"))
statuses = st.sampled_from([301, 302, 303, 307, 308])


def request(method: str = "GET", url: str = "http://a.example/b") -> HttpRequest:
    body = b"x=s" if method == "POST" else b""
    return HttpRequest(method, parse_url(url), (*SECRETS, *HARMLESS), body)


def test_a_plain_request_is_one_head_with_connection_close() -> None:
    assert encode_http1(first_request(HttpSpec(url="http://a.example:81/b?c"))) == (
        b"GET /b?c HTTP/1.1\r\nHost: a.example:81\r\nUser-Agent: Vedette/0.1\r\nAccept: */*\r\n"
        b"Accept-Encoding: identity\r\nConnection: close\r\n\r\n"
    )


def test_a_header_of_the_spec_replaces_the_default() -> None:
    sent = encode_http1(
        first_request(HttpSpec(url="http://a.example/", headers={"user-agent": "x", "HOST": "b.example"}))
    )
    assert sent.lower().count(b"user-agent:") == 1
    assert sent.lower().count(b"host:") == 1


def test_a_post_has_a_content_length() -> None:
    sent = encode_http1(first_request(HttpSpec(url="http://a.example/", method="POST", body="ä")))
    assert sent.endswith(b"Content-Length: 2\r\nConnection: close\r\n\r\n\xc3\xa4")


def test_the_tls_name_is_that_of_the_host_header() -> None:
    spec = HttpSpec(url="https://192.0.2.1/", headers={"Host": "Shop.example.:8443"})
    assert first_request(spec).server_name == "shop.example"
    assert first_request(HttpSpec(url="https://shop.example./")).server_name == "shop.example"


def test_a_server_name_comes_before_the_host_header() -> None:
    spec = HttpSpec(url="https://a.example/", headers={"Host": "b.example"}, server_name="C.example")
    first = first_request(spec)
    assert (first.server_name, first.host) == ("c.example", "b.example")
    assert redirect_request(first, 302, "/x", []).server_name == "c.example"
    assert redirect_request(first, 302, "https://d.example/", []).server_name == "d.example"


def test_a_header_with_several_values_is_repeated() -> None:
    sent = encode_http1(first_request(HttpSpec(url="http://a.example/", headers={"X-A": ("1", "2"), "x-b": "3"})))
    assert b"X-A: 1\r\nX-A: 2\r\nx-b: 3\r\n" in sent


@pytest.mark.parametrize(
    ("spec", "value"),
    [
        (HttpSpec(url="https://a.example/", bearer_token="t0ken"), b"Bearer t0ken"),
        (HttpSpec(url="https://a.example/", basic_auth=BasicAuth(username="ü", password="p:q")), b"Basic w7w6cDpx"),
    ],
)
@pytest.mark.parametrize(
    "location", ["http://a.example/", "https://a.example:444/", "https://b.example/", "//b.example"]
)
def test_credentials_go_to_their_origin_only(spec: HttpSpec, value: bytes, location: str) -> None:
    first = first_request(spec)
    assert encode_http1(first).count(b"Authorization: " + value + b"\r\n") == 1
    assert value in encode_http1(redirect_request(first, 307, "/elsewhere", []))
    away = redirect_request(first, 307, location, [])
    assert b"uthorization" not in encode_http1(away)
    back = redirect_request(away, 307, "https://a.example/", [])
    assert b"uthorization" not in encode_http1(back)
    assert value.split()[1].decode() not in repr((first, away, spec))


@pytest.mark.parametrize(
    ("method", "body", "length"),
    [
        ("PUT", "", b"Content-Length: 0"),
        ("PATCH", "ab", b"Content-Length: 2"),
        ("PURGE", "a", b"Content-Length: 1"),
        ("DELETE", "", None),
        ("OPTIONS", "", None),
    ],
)
def test_any_method_is_sent_with_the_length_it_needs(method: str, body: str, length: bytes | None) -> None:
    sent = encode_http1(first_request(HttpSpec(url="http://a.example/", method=method, body=body)))
    assert sent.startswith(method.encode() + b" / HTTP/1.1\r\n")
    assert (length is not None and length in sent) or (length is None and b"Content-Length" not in sent)


@pytest.mark.parametrize(
    ("method", "status", "then"),
    [
        *(("GET", status, "GET") for status in (301, 302, 303, 307, 308)),
        *(("HEAD", status, "HEAD") for status in (301, 302, 303, 307, 308)),
        *(("POST", status, "GET") for status in (301, 302, 303)),
        *(("POST", status, "POST") for status in (307, 308)),
    ],
)
def test_the_method_after_a_redirect_is_as_in_browsers(method: str, status: int, then: str) -> None:
    following = redirect_request(request(method), status, "/c", [])
    assert (following.method, following.body) == (then, b"x=s" if then == "POST" else b"")


@given(
    statuses,
    st.sampled_from(
        ["http://b.example/", "https://a.example/", "http://a.example:81/", "//b.example", "http://a.example./"]
    ),
)
def test_nothing_given_for_one_origin_reaches_another(status: int, location: str) -> None:
    following = redirect_request(request(), status, location, ["seen=s"])
    assert set(following.headers) == set(HARMLESS)
    assert b"Bearer" not in encode_http1(following)
    assert following.url.host == "a.example" or not following.cookies


@given(statuses, st.sampled_from(["/c", "?c", "c", "http://a.example/c", "HTTP://A.example:80/c", "//a.example/c"]))
def test_the_same_origin_keeps_its_headers(status: int, location: str) -> None:
    following = redirect_request(request(), status, location, [])
    assert following.headers == (*SECRETS, *HARMLESS)


def test_cookies_go_along_the_chain_on_one_host() -> None:
    first = redirect_request(
        request(url="http://a.example/"), 302, "/c", ["sid=1; Path=/", "lang=de", "bad", "top=1; Secure"]
    )
    assert first.cookies == (("sid", "1"), ("lang", "de"))
    second = redirect_request(first, 302, "https://a.example/d", ["sid=2"])
    assert encode_http1(second).count(b"Cookie: sid=2; lang=de\r\n") == 1
    assert redirect_request(second, 302, "https://b.example/", ["sid=3"]).cookies == ()


def test_a_secure_cookie_is_not_sent_without_tls() -> None:
    first = redirect_request(request(url="https://a.example/"), 302, "/c", ["sid=1; Secure; HttpOnly"])
    assert first.cookies == (("sid", "1"),)
    assert redirect_request(first, 302, "http://a.example/", []).cookies == ()


def test_a_cookie_cannot_inject_a_header() -> None:
    following = redirect_request(request(), 302, "/", ["a=b\r\nX: y", "c=d"])
    assert following.cookies == (("c", "d"),)
