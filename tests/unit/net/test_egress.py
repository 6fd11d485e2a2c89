"""Egress policy: every refused range, in every form in which an IPv6 address embeds an IPv4 address."""

import ipaddress
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from libs.net.egress import METADATA_RANGES, NOT_PUBLIC_RANGES, EgressPolicy

PUBLIC = EgressPolicy(private=False)
PRIVATE = EgressPolicy()

REFUSED_WHEN_PUBLIC = {
    "0.0.0.0": "this host",
    "10.1.2.3": "private",
    "100.64.0.1": "carrier-grade NAT",
    "127.0.0.1": "loopback",
    "127.255.255.255": "loopback",
    "169.254.1.1": "link-local",
    "172.16.0.0": "private",
    "172.31.255.255": "private",
    "192.168.255.255": "private",
    "192.0.2.9": "documentation",
    "198.19.255.255": "benchmarks",
    "224.0.0.1": "multicast",
    "250.0.0.1": "reserved",
    "255.255.255.255": "broadcast",
    "::": "this host",
    "::1": "loopback",
    "fd12::1": "unique local",
    "fc00::": "unique local",
    "fe80::1": "link-local",
    "fe80::1%eth0": "link-local",
    "fec0::1": "site-local",
    "ff02::1": "multicast",
    "2001:db8::1": "documentation",
    "3fff::1": "documentation",
    "100::1": "discarded",
    "64:ff9b:1::1": "local NAT64",
    "5f00::1": "segment routing",
    "4000::1": "reserved",
    "0200::1": "reserved",
    "name.example": "no IP address",
    "127.1": "no IP address",
    "0x7f000001": "no IP address",
    "": "no IP address",
}
REACHED = ("8.8.8.8", "1.1.1.1", "172.15.255.255", "172.32.0.0", "100.128.0.0", "11.0.0.0", "223.255.255.255")
REACHED_6 = ("2606:4700::1111", "2a00::1", "2000::", "64:ff9b::8.8.8.8", "::ffff:8.8.8.8", "2002:808:808::1")


def nat64(address: IPv4Address, size: int) -> str:
    """Returns the address in a local NAT64 prefix of `size` bits, by the table of RFC 6052 section 2.2."""
    prefix, (one, two, three, four) = IPv6Address("64:ff9b:1::").packed, address.packed
    places = {
        48: bytes((one, two, 0, three, four)),
        56: bytes((0, one, 0, two, three, four)),
        64: bytes((0, 0, 0, one, two, three, four)),
        96: bytes(6) + address.packed,
    }
    return str(IPv6Address((prefix[:6] + places[size] + bytes(16))[:16]))


def teredo(server: IPv4Address, client: IPv4Address) -> str:
    turned = bytes(byte ^ 0xFF for byte in client.packed)
    return str(IPv6Address(b"\x20\x01\x00\x00" + server.packed + b"\x80\x00\xef\xff" + turned))


WORLD = IPv4Address("8.8.8.8")
FORMS = {
    "mapped": lambda a: f"::ffff:{a}",
    "compatible": lambda a: f"::{a}",
    "translated": lambda a: f"::ffff:0:{a}",
    "nat64": lambda a: f"64:ff9b::{a}",
    "nat64 /48": lambda a: nat64(a, 48),
    "nat64 /56": lambda a: nat64(a, 56),
    "nat64 /64": lambda a: nat64(a, 64),
    "nat64 /96": lambda a: nat64(a, 96),
    "6to4": lambda a: str(IPv6Address(b"\x20\x02" + a.packed + bytes(10))),
    "6to4 with a subnet": lambda a: str(IPv6Address(b"\x20\x02" + a.packed + b"\x00\x01" + bytes(7) + b"\x01")),
    "teredo client": lambda a: teredo(WORLD, a),
    "teredo server": lambda a: teredo(a, WORLD),
    "isatap": lambda a: f"2a00:1:2:3:0:5efe:{a}",
    "isatap, unique": lambda a: f"2a00:1:2:3:200:5efe:{a}",
    "isatap, link-local": lambda a: f"fe80::5efe:{a}",
    "isatap in 6to4": lambda a: f"2002:808:808::5efe:{a}",
}


@pytest.mark.parametrize("host", REFUSED_WHEN_PUBLIC)
def test_non_public_addresses_are_refused_on_a_shared_prober(host: str) -> None:
    refusal = PUBLIC.refusal(host)
    assert refusal is not None
    assert REFUSED_WHEN_PUBLIC[host] in refusal
    assert host in refusal


@pytest.mark.parametrize("host", [*REACHED, *REACHED_6])
def test_public_addresses_are_reached(host: str) -> None:
    assert PUBLIC.refusal(host) is None
    assert PRIVATE.refusal(host) is None


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.1", "::1", "fd00::1", "fe80::1%eth0", "192.168.1.1"])
def test_private_addresses_are_reached_if_permitted(host: str) -> None:
    assert PRIVATE.refusal(host) is None


def every_address(cidr: str) -> list[str]:
    return [str(address) for address in ipaddress.ip_network(cidr)]


@pytest.mark.parametrize("host", [host for cidr in METADATA_RANGES for host in every_address(cidr)])
def test_metadata_is_refused_with_any_setting(host: str) -> None:
    for egress in (PRIVATE, PUBLIC, EgressPolicy(allow=["0.0.0.0/0", "::/0", host])):
        refusal = egress.refusal(host)
        assert refusal is not None
        assert "cloud metadata" in refusal


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("host", ["169.254.169.254", "100.100.100.200", "168.63.129.16"])
def test_metadata_is_refused_in_every_form_with_any_setting(form: str, host: str) -> None:
    written = FORMS[form](IPv4Address(host))
    for egress in (PRIVATE, PUBLIC, EgressPolicy(allow=["0.0.0.0/0", "::/0"])):
        refusal = egress.refusal(written)
        assert refusal is not None
        assert f"{written}, which carries {host}: cloud metadata ({host}/32)." in refusal


@given(st.sampled_from(sorted(FORMS)), st.ip_addresses(v=4))
def test_no_embedded_form_reaches_more_than_the_address_itself(form: str, address: IPv4Address) -> None:
    if PUBLIC.refusal(str(address)) is not None:
        assert PUBLIC.refusal(FORMS[form](address)) is not None


@given(st.sampled_from(["mapped", "nat64", "6to4", "isatap"]), st.ip_addresses(v=4))
def test_the_embedded_address_decides_for_forms_in_use(form: str, address: IPv4Address) -> None:
    assert (PUBLIC.refusal(str(address)) is None) == (PUBLIC.refusal(FORMS[form](address)) is None)


@given(st.sampled_from(sorted(FORMS)), st.ip_addresses(v=4))
def test_a_denied_range_is_denied_in_every_form(form: str, address: IPv4Address) -> None:
    assume(form != "compatible" or int(address) > 1)  # those are :: and ::1 themselves
    egress = EgressPolicy(deny=[f"{address}/32"], allow=["0.0.0.0/0", "::/0"])
    assert egress.refusal(FORMS[form](address)) is not None


def carries_alone(address: IPv4Address | IPv6Address) -> bool:
    """Tells whether the embedded IPv4 address decides. 6to4 (2002::/16) is global or not by the version of Python."""
    return any(address in ipaddress.ip_network(cidr) for cidr in ("64:ff9b::/96", "::ffff:0:0/96", "2002::/16"))


@given(st.ip_addresses())
def test_addresses_that_python_calls_not_global_are_refused(address: IPv4Address | IPv6Address) -> None:
    if not address.is_global and not carries_alone(address):
        assert PUBLIC.refusal(str(address)) is not None


@given(st.sampled_from([*NOT_PUBLIC_RANGES, *METADATA_RANGES]), st.data())
def test_every_address_of_a_range_in_the_tables_is_refused(cidr: str, data: st.DataObject) -> None:
    network = ipaddress.ip_network(cidr)
    address = network[data.draw(st.integers(0, network.num_addresses - 1))]
    assert PUBLIC.refusal(str(address)) is not None or carries_alone(address)


@given(st.text(max_size=60))
def test_any_text_is_permitted_or_refused(text: str) -> None:
    refusal = PUBLIC.refusal(text)
    assert refusal is None or refusal.startswith("Our egress policy refuses ")


def test_deny_wins_over_allow_and_allow_over_private() -> None:
    egress = EgressPolicy(private=False, allow=["10.0.0.0/8"], deny=["10.1.0.0/16", "203.0.113.7"])
    assert egress.refusal("10.2.0.1") is None
    assert egress.refusal("10.1.0.1") == (
        "Our egress policy refuses 10.1.0.1: denied by VEDETTE_EGRESS_DENY (10.1.0.0/16)."
    )
    assert egress.refusal("203.0.113.7") is not None
    assert egress.refusal("192.168.0.1") is not None
    assert egress.refusal("64:ff9b::10.2.0.1") is None
    assert egress.refusal("64:ff9b::10.1.0.1") is not None


def test_the_prefix_of_a_site_can_be_allowed() -> None:
    egress = EgressPolicy(private=False, allow=["64:ff9b:1::/96"])
    assert egress.refusal("64:ff9b:1::10.0.0.1") is None
    assert egress.refusal("64:ff9b:1::169.254.169.254") is not None


def test_an_invalid_range_is_an_error_at_start() -> None:
    with pytest.raises(ValueError, match="host bits"):
        EgressPolicy(allow=["10.0.0.1/8"])
