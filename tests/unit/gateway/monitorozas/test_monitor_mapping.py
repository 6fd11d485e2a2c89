"""Monitors of a device: targets and expected responses."""

from typing import Any

import msgspec
import pytest

from libs.model.requests.errors import RequestError
from libs.sealing.sealer import Sealer
from services.gateway.dialects.monitorozas.assets import NAME_LENGTH_MAX, TIMEOUT_S, monitor_draft
from services.gateway.dialects.monitorozas.monitor_mapping import MonitorPart, device_parts
from services.gateway.dialects.monitorozas.service_types import PORT_REQUIRED, service_types
from services.gateway.spec_intake import SpecIntake
from services.http.spec import HttpSpec
from services.port.spec import PortSpec
from tests.unit.gateway.monitorozas.test_device import parsed

SPECS = SpecIntake(Sealer([]), "00000000-0000-7000-8000-000000000001")
BEHIND_PROXY = {"proxy_enabled": 1, "origin_host": "192.0.2.1"}


def parts(**fields: Any) -> dict[str, Any]:
    """Returns what the monitors of a device are asked for, as their kinds read it, by the names of the parts."""
    found = device_parts(parsed(**fields))
    return {name: SPECS.accept(msgspec.Raw(msgspec.json.encode(part.spec))).spec for name, part in found.items()}


def targets(**fields: Any) -> dict[str, str]:
    return {name: spec.target for name, spec in parts(**fields).items()}


def test_a_web_site_is_its_page_and_its_certificate() -> None:
    assert targets() == {"public_https": "https://pelda.hu/", "public_tls": "tls://pelda.hu:443"}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"scheme": "http"}, {"public_http": "http://pelda.hu/"}),
        ({"scheme": "http", "port": 8080}, {"public_http": "http://pelda.hu:8080/"}),
        (
            {"port": 8443, "check_public_http": 1, "check_public_https": 1, "check_public_tls": 1},
            {
                "public_http": "http://pelda.hu/",
                "public_https": "https://pelda.hu:8443/",
                "public_tls": "tls://pelda.hu:8443",
            },
        ),
        ({"scheme": "http", "port": 8080, "check_public_tls": 1}, {"public_tls": "tls://pelda.hu:443"}),
        (
            {**BEHIND_PROXY, "check_public_https": 1},
            {
                "public_https": "https://pelda.hu/",
                "origin_http": "https://192.0.2.1/",
                "origin_tls": "tls://192.0.2.1:443",
            },
        ),
        (
            {**BEHIND_PROXY, "origin_port": 80, "check_origin_tls": 1, "check_origin_http": 1},
            {"origin_http": "http://192.0.2.1/", "origin_tls": "tls://192.0.2.1:443"},
        ),
        (
            {"target_type": "ip", "target_value": "2001:DB8::1", "check_public_http": 1, "check_public_tls": 1},
            {"public_http": "http://[2001:db8::1]/", "public_tls": "tls://[2001:db8::1]:443"},
        ),
        ({"service_type": "ssh", "port": 2222}, {"service": "ssh://pelda.hu:2222"}),
        ({"service_type": "ping"}, {"service": "pelda.hu"}),
        ({"service_type": "tcp", "port": 9}, {"service": "tcp://pelda.hu:9"}),
        ({"service_type": "tls", "port": 9}, {"service": "tls://pelda.hu:9"}),
    ],
)
def test_each_check_is_one_monitor(fields: dict[str, Any], expected: dict[str, str]) -> None:
    assert targets(**fields) == expected


@pytest.mark.parametrize("service", [name for name in service_types() if name not in {"web", *PORT_REQUIRED}])
def test_every_service_can_be_probed(service: str) -> None:
    for fields in ({}, {"target_type": "ip", "target_value": "2001:db8::1"}):
        (spec,) = parts(service_type=service, **fields).values()
        assert spec.target


def test_the_origin_gets_the_public_host_name() -> None:
    found = parts(**BEHIND_PROXY)
    assert found["origin_http"].sent_headers == (("Host", "pelda.hu"),)
    assert found["origin_tls"].tls_name == "pelda.hu"


@pytest.mark.parametrize("named", ["shop.pelda.hu", "shop.pelda.hu:8443"])
def test_a_host_header_is_sent_to_every_target(named: str) -> None:
    found = parts(**BEHIND_PROXY, host_header=named)
    for name in ("public_https", "origin_http"):
        assert name not in found or found[name].sent_headers == (("Host", named),)
    assert found["origin_tls"].tls_name == "shop.pelda.hu"
    assert parts(host_header=named)["public_tls"].tls_name == "shop.pelda.hu"


def test_an_expected_status_is_the_one_after_redirects() -> None:
    found: HttpSpec = parts(expect_status=200)["public_https"]
    assert (found.expect_status, found.redirects_max) == ((200,), 10)


@pytest.mark.parametrize("status", [300, 301, 302, 304, 308, 399])
def test_an_expected_redirect_is_not_followed(status: int) -> None:
    found: HttpSpec = parts(expect_status=status)["public_https"]
    assert (found.expect_status, found.redirects_max) == ((status,), 0)


@pytest.mark.parametrize(
    ("status", "expected"), [(None, ("200-399",)), (204, (204, "300-399")), (301, (301, "300-399"))]
)
def test_a_redirect_of_the_origin_is_an_answer_and_never_followed(status: int | None, expected: Any) -> None:
    found: HttpSpec = parts(**BEHIND_PROXY, expect_status=status)["origin_http"]
    assert (found.expect_status, found.redirects_max) == (expected, 0)


def test_a_refused_spec_is_reported_with_the_api_field() -> None:
    device = parsed(target_type="ip", target_value="224.0.0.1", service_type="ping")
    with pytest.raises(RequestError) as caught:
        monitor_draft(SPECS, device, device_parts(device)["service"], 60)
    assert caught.value.info.field == "target_value.host"


def test_a_monitor_is_named_after_its_device_and_what_it_looks_at() -> None:
    device = parsed(is_enabled=0)
    found = monitor_draft(SPECS, device, device_parts(device)["public_https"], 60)
    assert (found.name, found.kind, found.target) == ("pelda.hu public https", "http", "https://pelda.hu/")
    assert (found.interval_s, found.timeout_s, found.enabled) == (60, TIMEOUT_S, False)


def test_a_long_name_is_cut() -> None:
    device = parsed(target_value=f"{'a' * 60}.{'b' * 60}.{'c' * 60}.{'d' * 60}.hu")
    found = monitor_draft(SPECS, device, device_parts(device)["public_tls"], 60)
    assert len(found.name) == NAME_LENGTH_MAX
    assert found.name.endswith(" public tls")


def test_every_alias_means_a_service_that_there_is() -> None:
    assert set(service_types().values()) - {"web", "ping", *PORT_REQUIRED} <= set(PortSpec.schemes)
    assert isinstance(device_parts(parsed())["public_tls"], MonitorPart)
