"""Parsing of devices: validation, defaults and normalization."""

from typing import Any

import msgspec

from libs.net.egress import EgressPolicy
from services.gateway.dialects.monitorozas.envelope import invalid_field
from services.gateway.dialects.monitorozas.fields import BodyFields
from services.gateway.dialects.monitorozas.service_types import (
    PING,
    PORT_REQUIRED,
    WEB,
    default_port,
    scheme_and_port,
    service_types,
)
from services.gateway.dialects.monitorozas.targets import (
    bracket_ipv6,
    check_reachable,
    parse_host,
    parse_host_port,
    parse_target,
)

SCHEMES = ("http", "https")
PUBLIC_CHECKS = ("check_public_http", "check_public_https", "check_public_tls")
ORIGIN_CHECKS = ("check_origin_http", "check_origin_tls")
# Default checks by scheme.
_PUBLIC_DEFAULTS = {"http": ("check_public_http",), "https": ("check_public_https", "check_public_tls")}
_ORIGIN_DEFAULTS = {"http": ("check_origin_http",), "https": ("check_origin_http", "check_origin_tls")}


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """The normalized fields of a device; None for fields that do not apply to its service."""

    target_type: str
    target_value: str
    service_type: str
    scheme: str | None = None
    port: int | None = None
    host_header: str | None = None
    proxy_enabled: int = 0
    origin_host: str | None = None
    origin_scheme: str | None = None
    origin_port: int | None = None
    check_public_http: int = 0
    check_public_https: int = 0
    check_public_tls: int = 0
    check_origin_http: int = 0
    check_origin_tls: int = 0
    expect_status: int | None = None
    location: str | None = None
    is_enabled: int = 1

    @property
    def identity(self) -> str:
        """Key that is unique among the devices of a tenant."""
        where = (self.target_type, self.target_value, self.service_type, self.scheme, self.port)
        return msgspec.json.encode((*where, self.origin_host, self.origin_port)).decode()


def parse_device(fields: BodyFields, egress: EgressPolicy) -> Device:
    """Parses a device, or raises InvalidFieldError."""
    target_type, target_value = parse_target(fields)
    check_reachable("target_value", target_value, egress)
    given = fields.choice("service_type", service_types())
    service = service_types()[given or WEB]
    common: dict[str, Any] = {
        "target_type": target_type,
        "target_value": target_value,
        "service_type": service,
        "location": fields.text("location"),
        "is_enabled": fields.bool01("is_enabled", 1),
    }
    port = fields.integer("port", 1, 65535)
    if service == WEB:
        return Device(**common, **_parse_web(fields, port, egress))
    _reject_web_fields(fields)
    return Device(**common, port=None if service == PING else _resolve_port(service, port))


def _resolve_port(service: str, given: int | None) -> int:
    if given is None and service in PORT_REQUIRED:
        raise invalid_field("port", f"is required for service_type {service}")
    return given or default_port(service)


def _parse_web(fields: BodyFields, given_port: int | None, egress: EgressPolicy) -> dict[str, Any]:
    """Returns the fields that only web devices have."""
    scheme, port = scheme_and_port(fields.choice("scheme", SCHEMES), given_port, "https")
    origin = _parse_origin(fields, scheme, egress)
    proxied = fields.bool01("proxy_enabled")
    return {
        "scheme": scheme,
        "port": port,
        "host_header": _parse_host_header(fields),
        "proxy_enabled": proxied,
        **origin,
        **_resolve_checks(fields, scheme, origin["origin_scheme"] if proxied else None),
        "expect_status": fields.integer("expect_status", 100, 599),
    }


def _parse_origin(fields: BodyFields, scheme: str, egress: EgressPolicy) -> dict[str, Any]:
    """Returns the fields of the origin; all None without `origin_host`."""
    text = fields.text("origin_host")
    given_scheme, given_port = fields.choice("origin_scheme", SCHEMES), fields.integer("origin_port", 1, 65535)
    if text is None:
        _reject_origin_checks(fields)
        return {"origin_host": None, "origin_scheme": None, "origin_port": None}
    name, _ = parse_host("origin_host", text)
    check_reachable("origin_host", name, egress)
    origin_scheme, origin_port = scheme_and_port(given_scheme, given_port, scheme)
    return {"origin_host": name, "origin_scheme": origin_scheme, "origin_port": origin_port}


def _resolve_checks(fields: BodyFields, scheme: str, proxied_scheme: str | None) -> dict[str, int]:
    """Returns all check flags. Omitted ones get their default if no check is explicitly enabled.

    The origin behind a proxy (`proxied_scheme`) has its own defaults: explicitly enabled public checks do not
    change them.
    """
    named = {name: fields.bool01_or_none(name) for name in (*PUBLIC_CHECKS, *ORIGIN_CHECKS)}
    public = () if any(named.values()) else _PUBLIC_DEFAULTS[scheme]
    origin = () if any(named[name] for name in ORIGIN_CHECKS) else _ORIGIN_DEFAULTS.get(proxied_scheme or "", ())
    checks = {name: int(name in (*public, *origin)) if value is None else value for name, value in named.items()}
    if not any(checks.values()):
        raise invalid_field("checks", f"must not all be 0, or nothing would be checked: {', '.join(checks)}")
    return checks


def _parse_host_header(fields: BodyFields) -> str | None:
    """Returns the Host header, with the port if there is one."""
    text = fields.text("host_header")
    if text is None:
        return None
    name, port, _ = parse_host_port("host_header", text)
    return bracket_ipv6(name) if port is None else f"{bracket_ipv6(name)}:{port}"


def _reject_origin_checks(fields: BodyFields) -> None:
    for name in ORIGIN_CHECKS:
        if fields.bool01(name):
            raise invalid_field("origin_host", f"is required with {name}")


def _reject_web_fields(fields: BodyFields) -> None:
    """Refuses web flags that would have no effect."""
    for name in ("proxy_enabled", *PUBLIC_CHECKS, *ORIGIN_CHECKS):
        if fields.bool01(name):
            raise invalid_field(name, f"is for service_type {WEB} only")
