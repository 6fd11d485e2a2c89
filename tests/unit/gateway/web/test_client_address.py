"""Client addresses behind trusted and untrusted proxies."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.model.fields.networks import is_in_networks, parse_networks
from services.gateway.web.client_address import UNKNOWN_CLIENT, resolve_client

TRUSTED = parse_networks(["192.0.2.0/24", "2001:db8:80::/48"])
PROXY = "192.0.2.80"

untrusted_addresses = st.ip_addresses().filter(lambda address: not is_in_networks(str(address), TRUSTED)).map(str)
trusted_addresses = st.ip_addresses(network="192.0.2.0/24").map(str) | st.ip_addresses(network="2001:db8:80::/48").map(
    str
)
header_texts = st.text(st.characters(max_codepoint=255), max_size=30) | untrusted_addresses | trusted_addresses


def resolved(peer: str, *headers: str, trusted: Sequence[Any] = TRUSTED) -> Any:
    scope: Any = {
        "type": "http",
        "client": (peer, 4711),
        "headers": [(b"host", b"x"), *((b"x-forwarded-for", text.encode("latin-1")) for text in headers)],
    }
    return resolve_client(scope, trusted)


def resolved_address(peer: str, *headers: str) -> str:
    return str(resolved(peer, *headers)["client"][0])


def canonical(text: str) -> str:
    found = ip_address(text)
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return str(mapped or found)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        *(("203.0.113.9", "203.0.113.9"), (" 203.0.113.9\t", "203.0.113.9"), ("203.0.113.9:4711", "203.0.113.9")),
        *(("2001:db8::9", "2001:db8::9"), ("[2001:db8::9]", "2001:db8::9"), ("[2001:DB8::9]:443", "2001:db8::9")),
        *(("::ffff:203.0.113.9", "203.0.113.9"), ("[::ffff:203.0.113.9]:80", "203.0.113.9")),
        *(("10.0.0.1, 203.0.113.9", "203.0.113.9"), ("10.0.0.1,203.0.113.9,192.0.2.7", "203.0.113.9")),
        *(("203.0.113.9, ::ffff:192.0.2.7, 2001:db8:80::1", "203.0.113.9"), ("192.0.2.7", "192.0.2.7")),
        ("192.0.2.8, 192.0.2.7", "192.0.2.8"),
    ],
)
def test_the_last_address_that_is_no_trusted_proxy_is_the_client(said: str, found: str) -> None:
    assert resolved_address(PROXY, said) == found
    assert resolved_address("::ffff:192.0.2.80", said) == found
    assert resolved_address("203.0.113.1", said) == "203.0.113.1"


@pytest.mark.parametrize(
    "said",
    [
        *("", "unknown", "_hidden", "10.0.0.1,", "10.0.0.1, unknown", "10.0.0.1, 192.0.2.7, -", "10.0.0.256"),
        *("010.0.0.1", "10.0.0.1:", "10.0.0.1:x", "10.0.0.1:123456", "10.0.0.1:80:80", "[10.0.0.1]", "[2001:db8::9"),
        *("[2001:db8::9]443", "[]", "fe80::1%eth0", "[fe80::1%eth0]", "10.0.0.1 10.0.0.2", '"10.0.0.1"', "0x0a000001"),
        *("167772161", "10.0.0.1/32", "10.0.0.1\xa0", "\xb2.0.0.1", "10.0.0.1:\xb2"),
    ],
)
def test_a_trusted_proxy_without_the_header_value_yields_an_unknown_client(said: str) -> None:
    assert resolved_address(PROXY, said) == UNKNOWN_CLIENT
    assert not is_in_networks(UNKNOWN_CLIENT, parse_networks(["0.0.0.0/0", "::/0"]))


def test_several_headers_are_one_list() -> None:
    assert resolved_address(PROXY, "10.0.0.1", "203.0.113.9", "192.0.2.7") == "203.0.113.9"
    assert resolved_address(PROXY, "203.0.113.9", "") == UNKNOWN_CLIENT


def test_without_a_trusted_proxy_nothing_is_believed_and_nothing_is_changed() -> None:
    for peer, headers in ((PROXY, ()), ("203.0.113.9", ("10.0.0.1",)), ("", ("10.0.0.1",)), ("unix", ("10.0.0.1",))):
        found = resolved(peer, *headers)
        assert found["client"] == (peer, 4711)
        assert len(found["headers"]) == 1 + len(headers)
    assert resolved(PROXY, "10.0.0.1", trusted=())["client"][0] == PROXY


@given(
    st.lists(header_texts, max_size=4), untrusted_addresses, st.lists(trusted_addresses, max_size=4), trusted_addresses
)
def test_headers_of_an_untrusted_peer_are_ignored(said: list[str], stranger: str, behind: list[str], peer: str) -> None:
    # The outermost trusted proxy appends who asked it; each one behind it appends the one before.
    scope = resolved(peer, ",".join([*said, stranger, *behind]))
    assert scope["client"][0] == canonical(stranger)
    # Whoever sent a list of its own can be a proxy that nobody vouches for.
    assert (b"x-forwarded-for" in dict(scope["headers"])) is bool(said)


@given(st.lists(header_texts, min_size=1, max_size=4), untrusted_addresses)
def test_without_trusted_proxies_the_peer_is_the_client(said: list[str], stranger: str) -> None:
    assert resolved_address(stranger, *said) == stranger


@given(st.lists(header_texts, max_size=6), header_texts)
def test_the_client_address_is_the_peers_or_reported_by_a_trusted_proxy(said: list[str], peer: str) -> None:
    found = resolved_address(peer, *said)
    if found in {peer, UNKNOWN_CLIENT}:
        return
    assert is_in_networks(peer, TRUSTED)
    assert isinstance(ip_address(found), IPv4Address | IPv6Address)
    assert any(found in {hop, canonical_or_none(hop)} for text in said for hop in text.split(","))


def canonical_or_none(text: str) -> str | None:
    try:
        return canonical(text.strip(" \t").rpartition("]")[0].removeprefix("[") or text.strip(" \t"))
    except ValueError:
        return None
