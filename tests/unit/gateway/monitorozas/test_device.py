"""Parsing of devices: types, defaults, checks, identity."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.net.egress import EgressPolicy
from services.gateway.dialects.monitorozas.device import ORIGIN_CHECKS, PUBLIC_CHECKS, SCHEMES, Device, parse_device
from services.gateway.dialects.monitorozas.envelope import InvalidFieldError
from services.gateway.dialects.monitorozas.fields import BodyFields
from services.gateway.dialects.monitorozas.service_types import PORT_REQUIRED, service_types
from tests.unit.gateway.web.test_strict_body import json_values

VALID_DEVICE: dict[str, Any] = {"target_type": "domain", "target_value": "pelda.hu"}
CHECKS = (*PUBLIC_CHECKS, *ORIGIN_CHECKS)
FLAGS = ("proxy_enabled", "is_enabled", *CHECKS)
ALLOW_ALL = EgressPolicy()


def parsed(**fields: Any) -> Device:
    return parse_device(BodyFields(VALID_DEVICE | fields), ALLOW_ALL)


def error_code(egress: EgressPolicy = ALLOW_ALL, **fields: Any) -> str:
    with pytest.raises(InvalidFieldError) as caught:
        parse_device(BodyFields(VALID_DEVICE | fields), egress)
    return caught.value.error


def enabled_checks(**fields: Any) -> set[str]:
    found = parsed(**fields)
    return {name for name in CHECKS if getattr(found, name)}


def test_a_web_site_is_checked_over_https_by_default() -> None:
    found = parsed()
    assert (found.service_type, found.scheme, found.port, found.is_enabled) == ("web", "https", 443, 1)
    assert enabled_checks() == {"check_public_https", "check_public_tls"}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"scheme": "http"}, ("http", 80)),
        ({"port": 80}, ("http", 80)),
        ({"port": 443}, ("https", 443)),
        ({"port": 8443}, ("https", 8443)),
        ({"scheme": "HTTP", "port": 443}, ("http", 443)),
    ],
)
def test_a_scheme_implies_its_port_and_a_port_its_scheme(fields: dict[str, Any], expected: tuple[str, int]) -> None:
    found = parsed(**fields)
    assert (found.scheme, found.port) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"scheme": "http"}, {"check_public_http"}),
        ({"check_public_http": 1}, {"check_public_http"}),
        ({"check_public_tls": 0}, {"check_public_https"}),
        ({"check_public_https": True, "check_public_tls": False}, {"check_public_https"}),
        ({"origin_host": "192.0.2.1"}, {"check_public_https", "check_public_tls"}),
        ({"origin_host": "192.0.2.1", "proxy_enabled": 1}, {*CHECKS} - {"check_public_http"}),
        (
            {"origin_host": "192.0.2.1", "origin_port": 80, "proxy_enabled": 1},
            {*CHECKS} - {"check_public_http", "check_origin_tls"},
        ),
        (
            {"origin_host": "192.0.2.1", "proxy_enabled": 1, "check_public_https": 1},
            {"check_public_https", "check_origin_http", "check_origin_tls"},
        ),
        ({"origin_host": "192.0.2.1", "check_origin_http": 1}, {"check_origin_http"}),
        ({"origin_host": "192.0.2.1", "proxy_enabled": 1, **dict.fromkeys(PUBLIC_CHECKS, 0)}, {*ORIGIN_CHECKS}),
        ({"proxy_enabled": 1}, {"check_public_https", "check_public_tls"}),
    ],
)
def test_checks_that_are_not_named_have_their_defaults(fields: dict[str, Any], expected: set[str]) -> None:
    assert enabled_checks(**fields) == expected


@pytest.mark.parametrize("named", [CHECKS, PUBLIC_CHECKS, ("check_public_https", "check_public_tls")])
def test_a_device_that_checks_nothing_is_refused(named: tuple[str, ...]) -> None:
    assert error_code(**dict.fromkeys(named, 0)) == "invalid_checks"


@pytest.mark.parametrize("name", ORIGIN_CHECKS)
def test_a_check_of_the_origin_needs_one(name: str) -> None:
    assert error_code(**{name: 1}) == "invalid_origin_host"


def test_the_origin_has_the_scheme_of_its_port_or_that_of_the_public_side() -> None:
    plain = parsed(scheme="http", origin_host="Origin.Pelda.HU.")
    assert (plain.origin_host, plain.origin_scheme, plain.origin_port) == ("origin.pelda.hu", "http", 80)
    secure = parsed(scheme="http", origin_host="::ffff:192.0.2.1", origin_port=443)
    assert (secure.origin_host, secure.origin_scheme, secure.origin_port) == ("192.0.2.1", "https", 443)


@pytest.mark.parametrize("service", [name for name in service_types() if name not in {"web", "ping", *PORT_REQUIRED}])
def test_every_service_has_a_port_of_its_own(service: str) -> None:
    found = parsed(service_type=service.upper())
    assert found.port
    assert found.service_type == service_types()[service]
    assert found.scheme is None


@pytest.mark.parametrize(
    ("service", "port"),
    [
        *[("ssh", 22), ("smtp", 25), ("smtps", 465), ("submission", 587), ("imap", 143), ("imaps", 993), ("pop3", 110)],
        *[("pop3s", 995), ("ftp", 21), ("dns", 53), ("mysql", 3306), ("postgresql", 5432), ("rdp", 3389)],
        *[("postgres", 5432), ("mariadb", 3306), ("mongo", 27017)],
    ],
)
def test_the_usual_ports_are_those_of_the_reference(service: str, port: int) -> None:
    assert parsed(service_type=service).port == port


@pytest.mark.parametrize("service", PORT_REQUIRED)
def test_a_port_must_be_named_where_no_service_is(service: str) -> None:
    assert error_code(service_type=service) == "invalid_port"
    assert parsed(service_type=service, port=9).port == 9


def test_ping_has_no_port() -> None:
    assert parsed(service_type="ping", port=7).port is None


@pytest.mark.parametrize("name", ["proxy_enabled", *CHECKS])
def test_what_only_a_web_site_has_cannot_be_switched_on_elsewhere(name: str) -> None:
    assert error_code(service_type="ssh", **{name: 1}) == f"invalid_{name}"
    assert getattr(parsed(service_type="ssh", **{name: 0}), name) == 0


@pytest.mark.parametrize("service", ["udp", "gopher", "http", ""])
def test_an_unknown_service_is_refused_and_an_empty_one_is_none(service: str) -> None:
    if service:
        assert error_code(service_type=service) == "invalid_service_type"
    else:
        assert parsed(service_type=service).service_type == "web"


@pytest.mark.parametrize("value", [2, -1, "1", "true", 1.0, [], {}, "yes"])
@pytest.mark.parametrize("name", FLAGS)
def test_a_flag_is_0_or_1_or_false_or_true_and_nothing_else(name: str, value: object) -> None:
    assert error_code(**{name: value}) == f"invalid_{name}"


@pytest.mark.parametrize("value", [0, 65536, -1, "80", 80.0, True, 10**30, []])
@pytest.mark.parametrize("name", ["port", "origin_port"])
def test_a_port_is_an_integer_in_its_range(name: str, value: object) -> None:
    assert error_code(origin_host="192.0.2.1", **{name: value}) == f"invalid_{name}"


@pytest.mark.parametrize("value", [99, 600, "200", 200.0, True, [200]])
def test_an_expected_status_is_one_of_http(value: object) -> None:
    assert error_code(expect_status=value) == "invalid_expect_status"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("scheme", "ftp"), ("scheme", 1), ("origin_scheme", "tcp"), ("location", 5), ("location", "x" * 256)],
        *[("location", "a\0b"), ("location", "a\nb"), ("host_header", "a b"), ("host_header", "pelda.hu:99999")],
        *[("host_header", "pelda.hu/x"), ("host_header", ["x"]), ("service_type", 7), ("service_type", "ssh\0")],
        *[("origin_host", "http://x/"), ("origin_host", "pelda.hu:81"), ("origin_host", 9)],
    ],
)
def test_the_code_names_the_field_that_is_wrong(name: str, value: object) -> None:
    fields = {"origin_host": "192.0.2.1", name: value}
    assert error_code(**fields) == f"invalid_{name}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Pelda.HU.", "pelda.hu"), ("pelda.hu:8080", "pelda.hu:8080"), ("::1", "[::1]"), ("[::1]:81", "[::1]:81")],
)
def test_a_host_header_may_have_a_port(text: str, expected: str) -> None:
    assert parsed(host_header=text).host_header == expected


DENY_PRIVATE = EgressPolicy(private=False)


@pytest.mark.parametrize("address", ["10.0.0.1", "127.0.0.1", "::1", "::ffff:10.0.0.1", "64:ff9b::7f00:1"])
def test_an_address_that_our_probers_may_not_reach_is_refused(address: str) -> None:
    assert error_code(DENY_PRIVATE, target_type="ip", target_value=address) == "invalid_target_value"
    assert error_code(DENY_PRIVATE, origin_host=address) == "invalid_origin_host"
    assert (
        parse_device(BodyFields({"target_type": "ip", "target_value": "9.9.9.9"}), DENY_PRIVATE).target_value
        == "9.9.9.9"
    )


def test_metadata_addresses_are_refused_everywhere() -> None:
    assert error_code(target_type="ip", target_value="169.254.169.254") == "invalid_target_value"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"scheme": "https", "port": 443, "check_public_http": 1, "location": "x", "is_enabled": 0}),
        ({"service_type": "postgres"}, {"service_type": "postgresql", "port": 5432, "scheme": "https"}),
        ({"target_value": "PELDA.hu."}, {"host_header": "x.hu"}),
        ({"origin_host": "192.0.2.1"}, {"origin_host": "::ffff:192.0.2.1", "origin_port": 443}),
    ],
)
def test_devices_are_the_same_that_differ_in_spelling_only(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert parsed(**one).identity == parsed(**other).identity


@pytest.mark.parametrize(
    "fields", [{"port": 8443}, {"scheme": "http"}, {"service_type": "ssh"}, {"origin_host": "192.0.2.1"}]
)
def test_devices_differ_in_where_they_are(fields: dict[str, Any]) -> None:
    assert parsed().identity != parsed(**fields).identity


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "service_type": st.sampled_from(["web", "ssh", "tcp", "ping"]),
            "scheme": st.sampled_from(SCHEMES),
            "port": st.integers(1, 65535),
            "origin_host": st.sampled_from(["192.0.2.1", "origin.pelda.hu", "2001:db8::1"]),
            "expect_status": st.integers(100, 599),
            **{name: st.sampled_from([0, 1, True, False, None]) for name in FLAGS},
        },
    )
)
def test_what_is_stored_means_the_same_when_it_is_sent_again(fields: dict[str, Any]) -> None:
    try:
        first = parsed(**fields)
    except InvalidFieldError:
        return
    again = {name: getattr(first, name) for name in first.__struct_fields__}
    assert parse_device(BodyFields(again), ALLOW_ALL) == first


@given(st.dictionaries(st.sampled_from([*Device.__struct_fields__, "more"]), json_values))
def test_no_json_makes_it_fail(fields: dict[str, Any]) -> None:
    with contextlib.suppress(InvalidFieldError):
        assert parse_device(BodyFields.from_json(json.dumps(VALID_DEVICE | fields).encode()), ALLOW_ALL).target_value


@pytest.mark.parametrize("name", ["scheme", "port", "host_header", "expect_status", "location", "service_type", *FLAGS])
def test_a_blank_field_is_as_good_as_none(name: str) -> None:
    assert parsed(**{name: ""}) == parsed(**{name: None}) == parsed()
