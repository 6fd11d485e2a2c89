"""Normalization of host names and addresses."""

import ipaddress

from libs.model.fields.url import parse_authority
from libs.net.egress import EgressPolicy
from services.gateway.dialects.monitorozas.envelope import invalid_field
from services.gateway.dialects.monitorozas.fields import BodyFields

TARGET_TYPES = ("domain", "ip")


def parse_target(fields: BodyFields) -> tuple[str, str]:
    """Returns target_type and target_value: a domain in A-labels without its trailing dot, or an address."""
    kind = fields.choice("target_type", TARGET_TYPES)
    if kind is None:
        raise invalid_field("target_type", f"must be one of {', '.join(TARGET_TYPES)}")
    name, is_address = parse_host("target_value", fields.required("target_value"))
    if is_address != (kind == "ip"):
        raise invalid_field("target_value", f"is not what target_type {kind} says")
    return kind, name


def parse_host(field: str, text: str) -> tuple[str, bool]:
    """Returns a host, and whether it is an address."""
    name, port, is_address = parse_host_port(field, text)
    if port is not None:
        raise invalid_field(field, "must be a name or an address alone, without a port")
    return name, is_address


def parse_host_port(field: str, text: str) -> tuple[str, int | None, bool]:
    """Returns a host, its port if there is one, and whether the host is an address. Bare IPv6 needs no brackets."""
    if "/" in text:
        raise invalid_field(field, "must be a name or an address, and no URL")
    is_bare_ipv6 = text.count(":") > 1 and not text.startswith("[")
    try:
        name, port, is_address = parse_authority(f"[{text}]" if is_bare_ipv6 else text)
    except ValueError as error:
        raise invalid_field(field, str(error)) from error
    return (_unmap_ipv4(name) if is_address else name.removesuffix(".")), port, is_address


def check_reachable(field: str, name: str, egress: EgressPolicy) -> None:
    """Refuses an address outside the egress policy. Names are checked by the prober after resolution."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return
    if (refusal := egress.refusal(name)) is not None:
        raise invalid_field(field, f"is no address that we probe: {refusal.rstrip('.')}")


def bracket_ipv6(name: str) -> str:
    """Returns a host in URL syntax."""
    return f"[{name}]" if ":" in name else name


def _unmap_ipv4(text: str) -> str:
    """Returns the IPv4 address of an IPv4-mapped IPv6 address (::ffff:192.0.2.1): both are the same host."""
    address = ipaddress.ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
