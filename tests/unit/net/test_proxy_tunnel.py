"""Proxy handshakes: robust against arbitrary input, and independent of how the data is split."""

import itertools
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.model.fields.proxy import Proxy, ProxyCredentials, parse_proxy
from libs.net.proxy_tunnel import (
    HEAD_BYTES_MAX,
    HttpTunnel,
    ProxyFailure,
    Socks5Tunnel,
    Tunnel,
    TunnelRefusal,
    TunnelTarget,
    make_tunnel,
)

GOAL = TunnelTarget("shop.example", 443)
CREDENTIALS = ProxyCredentials(username="watch", password="sécret")
MAKERS: dict[str, Callable[[], Tunnel]] = {
    "http": lambda: HttpTunnel(GOAL),
    "socks5": lambda: Socks5Tunnel(GOAL),
    "socks5 with credentials": lambda: Socks5Tunnel(GOAL, CREDENTIALS),
}
# Data after the proxy's reply, which must reach the exchange unchanged.
REST = st.binary(max_size=40)
ADDRESSES = st.one_of(
    st.binary(min_size=4, max_size=4).map(lambda raw: b"\x01" + raw),
    st.binary(min_size=16, max_size=16).map(lambda raw: b"\x04" + raw),
    st.binary(max_size=255).map(lambda raw: bytes([3, len(raw)]) + raw),
)
LINES = st.lists(st.sampled_from([b"Via: a", b"Content-Length: 5", b"X:", b"\tfolded"]), max_size=5)


def feed(words: Tunnel, pieces: Iterable[bytes]) -> bytes:
    """Returns all data sent to a proxy that sends `pieces`; data after the open tunnel is kept by the reader."""
    said, kept = words.on_connected(), b""
    for piece in pieces:
        if words.refusal is not None:
            break
        if words.rest is not None:
            kept += piece
            continue
        said += words.on_data(piece)
    if words.rest is not None:
        words.rest += kept
    return said


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges) if start < end]


def end_of(words: Tunnel) -> tuple[bytes | None, TunnelRefusal | None]:
    return words.rest, words.refusal


@given(st.sampled_from(sorted(MAKERS)), st.lists(st.binary(max_size=30), max_size=8))
def test_any_proxy_response_opens_the_tunnel_or_fails_or_waits(kind: str, pieces: list[bytes]) -> None:
    words = MAKERS[kind]()
    feed(words, pieces)
    assert words.rest is None or words.refusal is None


@given(
    st.sampled_from([b"200 OK", b"299", b"502 Bad Gateway", b"403 ", b"99 x", b"2000 x"]),
    LINES,
    st.sampled_from([b"\r\n", b"\n"]),
    REST,
    st.lists(st.integers(0, 999), max_size=6),
)
def test_a_connect_response_is_parsed_the_same_however_it_is_split(
    status: bytes, lines: list[bytes], newline: bytes, rest: bytes, places: list[int]
) -> None:
    interim = b"HTTP/1.1 103 Soon\r\n\r\n"
    answer = interim + newline.join([b"HTTP/1.1 " + status, *lines, b"", b""]) + rest
    whole, parts = HttpTunnel(GOAL), HttpTunnel(GOAL)
    feed(whole, [answer])
    feed(parts, cut(answer, places))
    assert end_of(whole) == end_of(parts)
    assert whole.rest == (rest if status[:1] == b"2" and status != b"2000 x" else None)


@given(ADDRESSES, REST, st.lists(st.integers(0, 999), max_size=6))
def test_bytes_after_a_socks5_reply_are_the_targets(address: bytes, rest: bytes, places: list[int]) -> None:
    words = Socks5Tunnel(GOAL, CREDENTIALS)
    said = feed(words, [b"\x05", b"\x02", b"\x01\x00", *cut(b"\x05\x00\x00" + address + b"\x01\xbb" + rest, places)])
    assert end_of(words) == (rest, None)
    assert said == (
        b"\x05\x02\x00\x02\x01\x05watch\x07" + "sécret".encode() + b"\x05\x01\x00\x03\x0cshop.example\x01\xbb"
    )


@pytest.mark.parametrize(
    ("host", "raw"),
    [
        ("192.0.2.1", b"\x01\xc0\x00\x02\x01"),
        ("2001:db8::1", b"\x04\x20\x01\x0d\xb8" + bytes(11) + b"\x01"),
        ("a.example", b"\x03\x09a.example"),
    ],
)
def test_socks5_requests_encode_ip_literals_as_addresses(host: str, raw: bytes) -> None:
    said = feed(Socks5Tunnel(TunnelTarget(host, 80)), [b"\x05\x00"])
    assert said == b"\x05\x01\x00" + b"\x05\x01\x00" + raw + b"\x00\x50"


def test_connect_sends_ipv6_in_brackets_and_the_proxy_credentials() -> None:
    said = HttpTunnel(TunnelTarget("2001:db8::1", 443), ProxyCredentials(username="a", password="b")).on_connected()
    assert said == (
        b"CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\nProxy-Authorization: Basic YTpi\r\n\r\n"
    )


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Go on\r\n\r\n" * 9 + b"HTTP/1.1 200 OK\r\n"])
def test_the_response_head_is_bounded_to_the_byte(start: bytes) -> None:
    filler = b"a" * (HEAD_BYTES_MAX - len(start) - 4)
    fits, exceeds = HttpTunnel(GOAL), HttpTunnel(GOAL)
    feed(fits, [start, filler, b"\r\n\r\n"])
    feed(exceeds, [start, filler, b"a\r\n\r\n"])
    assert fits.rest == b""
    assert exceeds.refusal is not None
    assert exceeds.refusal.failure is ProxyFailure.FAILED


def test_an_invalid_start_fails_at_once() -> None:
    words = HttpTunnel(GOAL)
    feed(words, [b"HTT", b"Q"])
    assert words.refusal is not None


@pytest.mark.parametrize(
    ("text", "proxy"),
    [
        ("http://proxy.example:3128", Proxy("http", "proxy.example", 3128, is_address=False)),
        ("SOCKS5://[2001:DB8::1]:1080/", Proxy("socks5", "2001:db8::1", 1080, is_address=True)),
        ("socks5h://192.0.2.1:1080", Proxy("socks5h", "192.0.2.1", 1080, is_address=True)),
        ("http://bücher.example:1", Proxy("http", "xn--bcher-kva.example", 1, is_address=False)),
    ],
)
def test_a_proxy_is_a_scheme_a_host_and_a_port(text: str, proxy: Proxy) -> None:
    assert parse_proxy(text) == proxy
    assert isinstance(make_tunnel(proxy, GOAL, None), HttpTunnel) == (proxy.scheme == "http")


@given(st.text(max_size=20))
def test_any_text_is_a_proxy_or_a_value_error_without_the_text(text: str) -> None:
    for given_text in (text, f"http://{text}", f"socks5://{text}:1080"):
        try:
            proxy = parse_proxy(given_text)
        except ValueError:
            continue
        assert parse_proxy(f"{proxy.scheme}://{proxy.authority}") == proxy
