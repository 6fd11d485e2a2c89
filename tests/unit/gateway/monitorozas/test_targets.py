"""Normalization of hosts in /api/v1."""

import contextlib
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.dialects.monitorozas.blacklist import parse_blacklist_monitor
from services.gateway.dialects.monitorozas.envelope import InvalidFieldError
from services.gateway.dialects.monitorozas.fields import BodyFields, parse_id
from services.gateway.dialects.monitorozas.targets import parse_host, parse_target

labels = st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,20}[a-zA-Z0-9])?", fullmatch=True)
names = st.lists(labels, min_size=1, max_size=4).map(".".join).filter(lambda name: not name[-1].isdigit())
addresses = st.ip_addresses()


def error_code(**fields: object) -> str:
    with pytest.raises(InvalidFieldError) as caught:
        parse_target(BodyFields(fields))
    return caught.value.error


@given(names, st.sampled_from(["", "."]))
def test_a_name_is_stored_in_lower_case_without_its_trailing_dot(name: str, dot: str) -> None:
    found = parse_target(BodyFields({"target_type": "domain", "target_value": name + dot}))
    assert found == ("domain", name.lower())
    assert parse_target(BodyFields({"target_type": "DOMAIN", "target_value": found[1].upper()})) == found


@given(addresses)
def test_an_address_has_one_form(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    spellings = {str(address), address.exploded, str(address).upper()}
    spellings |= {f"[{each}]" for each in spellings if ":" in each}
    found = {parse_target(BodyFields({"target_type": "ip", "target_value": each})) for each in spellings}
    assert len(found) == 1


@given(st.ip_addresses(v=4))
def test_a_mapped_address_is_the_ipv4_address_that_it_carries(address: ipaddress.IPv4Address) -> None:
    assert parse_host("target_value", f"::ffff:{address}") == (str(address), True)


@given(st.text(max_size=60))
def test_any_text_is_a_host_in_its_stable_form_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidFieldError):
        found = parse_host("target_value", text)
        assert parse_host("target_value", found[0]) == found


def test_a_non_ascii_name_is_stored_in_punycode() -> None:
    stored = parse_target(BodyFields({"target_type": "domain", "target_value": "Példa.HU。"}))
    assert stored == parse_target(BodyFields({"target_type": "domain", "target_value": "xn--plda-bpa.hu"}))
    assert stored == ("domain", "xn--plda-bpa.hu")


@pytest.mark.parametrize(
    "value",
    [
        *["http://pelda.hu", "https://pelda.hu/x", "pelda.hu/x", "pelda.hu:80", "user@pelda.hu", "pelda .hu", " ", "."],
        *["pelda..hu", "-", "pelda.hu\0", "pelda.hu\n", "a" * 64 + ".hu", "a." * 130 + "hu", "☃.hu", "\u200bpelda.hu"],
        *[5, True, ["pelda.hu"], {"a": 1}, "192.0.2.1", "::1", "[::1]", "127.1", "0x7f000001", "192.0.2.1."],
    ],
)
def test_what_is_no_domain_is_refused(value: object) -> None:
    assert error_code(target_type="domain", target_value=value) == "invalid_target_value"


@pytest.mark.parametrize(
    "value",
    [
        "pelda.hu",
        "192.0.2",
        "192.0.2.256",
        "192.0.2.1:80",
        "192.0.2.0/24",
        "[::1]:80",
        "fe80::1%eth0",
        "1::2::3",
        "٣.1.1.1",
    ],
)
def test_what_is_no_address_is_refused(value: str) -> None:
    assert error_code(target_type="ip", target_value=value) == "invalid_target_value"


@pytest.mark.parametrize("value", [None, ""])
def test_a_target_must_be_there(value: object) -> None:
    assert error_code(target_type="domain", target_value=value) == "missing_target_value"
    assert error_code(target_type="ip") == "missing_target_value"


@pytest.mark.parametrize("value", [None, "", "url", "domain ", 1, True, []])
def test_a_target_type_is_one_of_two(value: object) -> None:
    assert error_code(target_type=value, target_value="pelda.hu") == "invalid_target_type"


def test_a_blacklist_monitor_is_known_by_its_target() -> None:
    one = parse_blacklist_monitor(BodyFields({"target_type": "domain", "target_value": "SMTP1.pelda.hu"}))
    other = parse_blacklist_monitor(
        BodyFields({"target_type": "domain", "target_value": "smtp1.pelda.hu.", "is_enabled": False, "x": 1})
    )
    assert one.identity == other.identity
    assert (one.is_enabled, other.is_enabled) == (1, 0)


@pytest.mark.parametrize(("given_id", "number"), [("31", 31), ("0031", 31), ("9" * 18, 10**18 - 1)])
def test_an_id_is_a_positive_integer(given_id: str, number: int) -> None:
    assert parse_id([given_id]) == number


@pytest.mark.parametrize(
    "values",
    [[], [""], ["0"], ["-1"], ["+1"], ["1.0"], ["1e3"], [" 1"], ["1\n"], ["x"], ["٣"], ["1", "1"], ["9" * 19], ["0x1"]],
)
def test_anything_else_is_no_id(values: list[str]) -> None:
    with pytest.raises(InvalidFieldError) as caught:
        parse_id(values)
    assert caught.value.error == "invalid_id"
