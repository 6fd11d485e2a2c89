"""Mapping of devices and blacklist monitors to monitors. Pure."""

from typing import Any, NamedTuple

from services.gateway.dialects.monitorozas.device import Device
from services.gateway.dialects.monitorozas.service_types import PING, PORT_REQUIRED, WEB, scheme_and_port
from services.gateway.dialects.monitorozas.targets import bracket_ipv6, parse_host_port

Options = dict[str, Any]


class MonitorPart(NamedTuple):
    """One monitor: the label in its name, the API field to report if its spec is invalid, and the spec."""

    label: str
    field: str
    spec: Options


def device_parts(device: Device) -> dict[str, MonitorPart]:
    """Returns the parts of a device by name."""
    if device.service_type == WEB:
        return {**_public_parts(device), **_origin_parts(device)}
    if device.service_type == PING:
        return {"service": MonitorPart("ping", "target_value", {"kind": "ping", "host": device.target_value})}
    service = PORT_REQUIRED.get(device.service_type, {"service": device.service_type})
    spec = {"kind": "port", "host": device.target_value, "port": device.port, **service}
    return {"service": MonitorPart(device.service_type, "target_value", spec)}


def blacklist_parts(target_value: str) -> dict[str, MonitorPart]:
    """Returns the single part of a blacklist monitor."""
    return {"dnsbl": MonitorPart("blacklists", "target_value", {"kind": "dnsbl", "host": target_value})}


def _public_parts(device: Device) -> dict[str, MonitorPart]:
    """Returns the public checks. The device's port applies to its own scheme; the other scheme has its default."""
    field, host, named = "target_value", device.target_value, device.host_header
    expected = _status_options(device.expect_status)
    found: dict[str, MonitorPart] = {}
    for scheme in ("http", "https"):
        if getattr(device, f"check_public_{scheme}"):
            spec = _http_spec(scheme, host, _scheme_port(device, scheme), named) | expected
            found[f"public_{scheme}"] = MonitorPart(f"public {scheme}", field, spec)
    if device.check_public_tls:
        found["public_tls"] = MonitorPart("public tls", field, _tls_spec(host, _scheme_port(device, "https"), named))
    return found


def _origin_parts(device: Device) -> dict[str, MonitorPart]:
    """Returns the origin checks: they connect to the origin and send the public host name."""
    host, scheme = device.origin_host, device.origin_scheme
    if host is None or scheme is None:
        return {}
    named = device.host_header or bracket_ipv6(device.target_value)
    found: dict[str, MonitorPart] = {}
    if device.check_origin_http:
        spec = _http_spec(scheme, host, device.origin_port, named) | _origin_status_options(device.expect_status)
        found["origin_http"] = MonitorPart("origin http", "origin_host", spec)
    if device.check_origin_tls:
        port = device.origin_port if scheme == "https" else None
        found["origin_tls"] = MonitorPart("origin tls", "origin_host", _tls_spec(host, port, named))
    return found


def _scheme_port(device: Device, scheme: str) -> int | None:
    return device.port if device.scheme == scheme else None


def _http_spec(scheme: str, host: str, port: int | None, named: str | None) -> Options:
    _, number = scheme_and_port(scheme, port, scheme)
    spec: Options = {"kind": "http", "url": f"{scheme}://{bracket_ipv6(host)}:{number}/"}
    return spec | ({"headers": {"Host": named}} if named else {})


def _tls_spec(host: str, port: int | None, named: str | None) -> Options:
    _, number = scheme_and_port("https", port, "https")
    spec: Options = {"kind": "port", "host": host, "port": number, "tls": True}
    return spec | ({"server_name": parse_host_port("host_header", named)[0]} if named else {})


def _status_options(status: int | None) -> Options:
    """Returns the options for an expected status. A redirect is expected only if it is not followed."""
    if status is None:
        return {}
    return {"expect_status": [status]} | ({"redirects_max": 0} if 300 <= status <= 399 else {})


def _origin_status_options(status: int | None) -> Options:
    """Returns the options of the origin checks.

    Redirects are not followed, as they lead away from the origin, mostly to the public side; each is a valid response.
    """
    return {"redirects_max": 0} | ({} if status is None else {"expect_status": [status, "300-399"]})
