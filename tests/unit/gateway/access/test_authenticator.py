"""Authentication without a bus: parsing of the Authorization header, and networks of keys."""

import ipaddress
from collections import OrderedDict

import pytest

from libs.model.fields.networks import is_in_networks
from services.gateway.access.authenticator import CACHE_ENTRIES_MAX, _cache_put, parse_authorization
from services.gateway.access.errors import AccessDenial, AccessDeniedError


@pytest.mark.parametrize("header", [b"Bearer abc", b"bearer abc", b"BEARER   abc ", b" Bearer abc"])
def test_one_bearer_header_holds_the_key(header: bytes) -> None:
    assert parse_authorization([header]) == "abc"


@pytest.mark.parametrize(
    ("headers", "fault"),
    [
        *(
            (headers, AccessDenial.KEY_MISSING)
            for headers in ([], [b""], [b"Bearer"], [b"Bearer "], [b"abc"], [b"Basic abc"])
        ),
        *((headers, AccessDenial.KEY_INVALID) for headers in ([b"Bearer a", b"Bearer a"], [b"Bearer \xe4"])),
    ],
)
def test_anything_else_is_a_401_with_a_challenge(headers: list[bytes], fault: AccessDenial) -> None:
    with pytest.raises(AccessDeniedError) as caught:
        parse_authorization(headers)
    assert (caught.value.status_code, caught.value.denial) == (401, fault)
    assert (caught.value.headers or {})["WWW-Authenticate"].startswith('Bearer realm="vedette"')


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        *(("192.0.2.7", True), ("::ffff:192.0.2.7", True), ("192.0.3.7", False), ("2001:db8::1", True)),
        *(("2001:db9::1", False), ("", False), ("unix", False), ("::ffff:192.0.3.7", False)),
    ],
)
def test_an_address_is_inside_a_network_in_either_spelling(address: str, inside: bool) -> None:
    networks = (ipaddress.ip_network("192.0.2.0/24"), ipaddress.ip_network("2001:db8::/32"))
    assert is_in_networks(address, networks) is inside


def test_what_is_remembered_is_bounded_and_the_oldest_goes_first() -> None:
    cache: OrderedDict[str, int] = OrderedDict()
    for number in range(CACHE_ENTRIES_MAX + 5):
        _cache_put(cache, str(number), number)
    assert len(cache) == CACHE_ENTRIES_MAX
    assert "4" not in cache
    assert "5" in cache
