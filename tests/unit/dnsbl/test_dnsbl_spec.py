"""What can be looked up in blacklists, in one form for each thing."""

import ipaddress
import string

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.cli.discovery import specs_by_scheme
from libs.kinds.registry import decode_spec, kinds
from services.dnsbl.spec import DnsblSpec

KEPT = {
    "example.org": "example.org",
    "Example.ORG.": "example.org",
    "mail.example.co.uk": "mail.example.co.uk",
    "_dnsbl_.test": "_dnsbl_.test",
    "bücher.example": "xn--bcher-kva.example",
    "BÜCHER.EXAMPLE.": "xn--bcher-kva.example",
    "bu\u0308cher.example": "xn--bcher-kva.example",
    "XN--BCHER-KVA.example": "xn--bcher-kva.example",
    "straße.example": "xn--strae-oqa.example",
    "例え。テスト": "xn--r8jz45g.xn--zckzah",
    "192.0.2.1": "192.0.2.1",
    "127.0.0.2": "127.0.0.2",
    "10.0.0.1": "10.0.0.1",
    "2001:DB8:0:0::1": "2001:db8::1",
    "[2001:db8::1]": "2001:db8::1",
    "::1": "::1",
    "2001:db8::": "2001:db8::",
}

REFUSED = {
    "": "host must name a host",
    ".": "host must name a host",
    "example..org": "host must name a host",
    "example.org..": "host must name a host",
    "a b.example": "host must name a host",
    "a.example\n": "host must name a host",
    "a.example\x00": "host must name a host",
    "-a.example": "host must name a host",
    f"{'a' * 64}.example": "host must name a host",
    "ü" * 100_000: "host must name a host",
    "*.example.org": "host must name a host",
    "localhost": "host must have a dot",
    "localhost.": "host must have a dot",
    "bücher": "host must have a dot",
    "192.0.2.1-9": "host must end in a top-level domain",
    "example.v2": "host must end in a top-level domain",
    "192.0.2.1-192.0.2.9": "host must write an IPv4 address",
    "192.0.2": "host must write an IPv4 address",
    "192.0.2.256": "host must write an IPv4 address",
    "192.0.02.1": "host must write an IPv4 address",
    "2130706433": "host must write an IPv4 address",
    "0x7f000001": "host must write an IPv4 address",
    "192.0.2.1.": "host must write an IPv4 address",
    "192.0.2.0/24": "host must be one domain name or one IP address",
    "2001:db8::/32": "host must be one domain name or one IP address",
    "https://example.org": "host must be one domain name or one IP address",
    "example.org/": "host must be one domain name or one IP address",
    "a@example.org": "host must be one domain name or one IP address",
    "example.org:25": "host must be one domain name or one IP address",
    "example.org:": "host must be one domain name or one IP address",
    "192.0.2.1:25": "host must be one domain name or one IP address",
    "[2001:db8::1]:25": "host must be one domain name or one IP address",
    "[2001:db8::1]:": "host must be one domain name or one IP address",
    "[2001:db8::1": "host must name a host",
    "2001:db8::1::2": "host must have an IPv6 address",
    "fe80::1%eth0": "host must not name a network interface",
    "224.0.0.1": "host must be the address of one machine",
    "ff02::1": "host must be the address of one machine",
    "255.255.255.255": "host must be the address of one machine",
    "0.0.0.0": "host must be the address of one machine",
    "::": "host must be the address of one machine",
    "::ffff:192.0.2.1": "host must be written as the IPv4 address that it is, 192.0.2.1",
}

LABELS = st.text(string.ascii_letters + string.digits + "äöüßéñ例え", min_size=1, max_size=12)
TOPS = st.sampled_from(["org", "Example", "テスト"])
NAMES = st.builds(lambda labels, top: ".".join([*labels, top]), st.lists(LABELS, min_size=1, max_size=4), TOPS)


def decode(**fields: object) -> DnsblSpec:
    spec = decode_spec(msgspec.json.encode({"kind": "dnsbl"} | fields))
    assert isinstance(spec, DnsblSpec)
    return spec


@pytest.mark.parametrize(("host", "kept"), KEPT.items())
def test_a_host_is_kept_in_one_form(host: str, kept: str) -> None:
    spec = decode(host=host)
    assert (spec.host, spec.target) == (kept, kept)


@pytest.mark.parametrize(("host", "message"), REFUSED.items(), ids=lambda text: text[:20])
def test_what_is_not_one_thing_is_refused(host: str, message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        decode(host=host)


@pytest.mark.parametrize("fields", [{}, {"host": 1}, {"host": None}, {"host": "a.example", "port": 25}])
def test_another_shape_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(**fields)


@given(st.one_of(st.text(), NAMES, st.ip_addresses().map(str)))
def test_any_text_is_refused_by_name_or_kept_in_a_form_that_stays(text: str) -> None:
    try:
        spec = DnsblSpec(host=text)
    except ValueError as refused:
        message = str(refused)
    else:
        assert_canonical(spec)
        message = "host is kept"
    assert message.startswith("host ")


def assert_canonical(spec: DnsblSpec) -> None:
    assert decode_spec(msgspec.json.encode(spec)) == spec
    assert spec.host.isascii()
    assert spec.host == spec.host.lower().rstrip(".")


@given(NAMES)
def test_letter_case_and_a_dot_at_the_end_make_no_other_name(name: str) -> None:
    try:
        kept = DnsblSpec(host=name)
    except ValueError:
        return
    assert DnsblSpec(host=f"{name}.") == kept
    assert DnsblSpec(host=kept.host.upper()) == kept


@given(st.ip_addresses(v=6))
def test_every_spelling_of_an_address_is_one(address: ipaddress.IPv6Address) -> None:
    try:
        kept = DnsblSpec(host=str(address))
    except ValueError:
        return
    assert kept.host == str(address)
    assert DnsblSpec(host=address.exploded.upper()) == kept
    assert DnsblSpec(host=f"[{address}]") == kept


def test_the_kind_is_found_by_its_folder_and_claims_no_scheme() -> None:
    assert kinds()["dnsbl"] is DnsblSpec
    assert DnsblSpec not in specs_by_scheme().values()
