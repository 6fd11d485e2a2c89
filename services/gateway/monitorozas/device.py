"""A device: what a client says, completed and in one form."""

from typing import Any

import msgspec

from libs.net.egress import Egress
from services.gateway.monitorozas.envelope import invalid
from services.gateway.monitorozas.fields import Fields
from services.gateway.monitorozas.service_types import (
    PING,
    UNNAMED,
    WEB,
    default_port,
    scheme_and_port,
    service_types,
)
from services.gateway.monitorozas.targets import authority, bracketed, check_reachable, host, target

SCHEMES = ("http", "https")
PUBLIC = ("check_public_http", "check_public_https", "check_public_tls")
ORIGIN = ("check_origin_http", "check_origin_tls")
# By scheme: what is checked when a client names no check.
_PUBLIC_DEFAULTS = {"http": ("check_public_http",), "https": ("check_public_https", "check_public_tls")}
_ORIGIN_DEFAULTS = {"http": ("check_origin_http",), "https": ("check_origin_http", "check_origin_tls")}


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of the API with nothing left open; None where a field means nothing to this service."""

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
        """What makes two devices of a tenant the same one."""
        where = (self.target_type, self.target_value, self.service_type, self.scheme, self.port)
        return msgspec.json.encode((*where, self.origin_host, self.origin_port)).decode()


def device(fields: Fields, egress: Egress) -> Device:
    """Returns the device that a client describes, or raises InvalidError."""
    target_type, target_value = target(fields)
    check_reachable("target_value", target_value, egress)
    given = fields.word("service_type", service_types())
    service = service_types()[given or WEB]
    common: dict[str, Any] = {
        "target_type": target_type,
        "target_value": target_value,
        "service_type": service,
        "location": fields.text("location"),
        "is_enabled": fields.flag("is_enabled", 1),
    }
    port = fields.number("port", 1, 65535)
    if service == WEB:
        return Device(**common, **_web(fields, port, egress))
    _check_no_web(fields)
    return Device(**common, port=None if service == PING else _port(service, port))


def _port(service: str, given: int | None) -> int:
    if given is None and service in UNNAMED:
        raise invalid("port", f"is required for service_type {service}")
    return given or default_port(service)


def _web(fields: Fields, given_port: int | None, egress: Egress) -> dict[str, Any]:
    """Returns the fields that only web devices have."""
    scheme, port = scheme_and_port(fields.word("scheme", SCHEMES), given_port, "https")
    origin = _origin(fields, scheme, egress)
    proxied = fields.flag("proxy_enabled")
    return {
        "scheme": scheme,
        "port": port,
        "host_header": _host_header(fields),
        "proxy_enabled": proxied,
        **origin,
        **_checks(fields, scheme, origin["origin_scheme"] if proxied else None),
        "expect_status": fields.number("expect_status", 100, 599),
    }


def _origin(fields: Fields, scheme: str, egress: Egress) -> dict[str, Any]:
    """Returns where the origin is; None in all of it if none is named."""
    text = fields.text("origin_host")
    given_scheme, given_port = fields.word("origin_scheme", SCHEMES), fields.number("origin_port", 1, 65535)
    if text is None:
        _check_no_origin(fields)
        return {"origin_host": None, "origin_scheme": None, "origin_port": None}
    name, _ = host("origin_host", text)
    check_reachable("origin_host", name, egress)
    origin_scheme, origin_port = scheme_and_port(given_scheme, given_port, scheme)
    return {"origin_host": name, "origin_scheme": origin_scheme, "origin_port": origin_port}


def _checks(fields: Fields, scheme: str, proxied_scheme: str | None) -> dict[str, int]:
    """Returns all checks. One that is not named has its default, as long as no other is switched on.

    An origin behind a proxy has defaults of its own, `proxied_scheme` being its scheme: public checks that are switched
    on leave them as they are.
    """
    named = {name: fields.given_flag(name) for name in (*PUBLIC, *ORIGIN)}
    public = () if any(named.values()) else _PUBLIC_DEFAULTS[scheme]
    origin = () if any(named[name] for name in ORIGIN) else _ORIGIN_DEFAULTS.get(proxied_scheme or "", ())
    checks = {name: int(name in (*public, *origin)) if value is None else value for name, value in named.items()}
    if not any(checks.values()):
        raise invalid("checks", f"must not all be 0, or nothing would be checked: {', '.join(checks)}")
    return checks


def _host_header(fields: Fields) -> str | None:
    """Returns the host to ask for, with the port that may follow it."""
    text = fields.text("host_header")
    if text is None:
        return None
    name, port, _ = authority("host_header", text)
    return bracketed(name) if port is None else f"{bracketed(name)}:{port}"


def _check_no_origin(fields: Fields) -> None:
    for name in ORIGIN:
        if fields.flag(name):
            raise invalid("origin_host", f"is required with {name}")


def _check_no_web(fields: Fields) -> None:
    """What would have no effect must not look as if it had."""
    for name in ("proxy_enabled", *PUBLIC, *ORIGIN):
        if fields.flag(name):
            raise invalid(name, f"is for service_type {WEB} only")
