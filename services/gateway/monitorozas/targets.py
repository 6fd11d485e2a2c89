"""Hosts as clients of this API write them, in the one form that is stored and compared."""

import ipaddress

from libs.model.url import parse_authority
from libs.net.egress import Egress
from services.gateway.monitorozas.envelope import invalid
from services.gateway.monitorozas.fields import Fields

TARGET_TYPES = ("domain", "ip")


def target(fields: Fields) -> tuple[str, str]:
    """Returns target_type and target_value: a domain in A-labels without its trailing dot, or an address."""
    kind = fields.word("target_type", TARGET_TYPES)
    if kind is None:
        raise invalid("target_type", f"must be one of {', '.join(TARGET_TYPES)}")
    name, is_address = host("target_value", fields.required("target_value"))
    if is_address != (kind == "ip"):
        raise invalid("target_value", f"is not what target_type {kind} says")
    return kind, name


def host(field: str, text: str) -> tuple[str, bool]:
    """Returns a name or an address, and whether it is an address."""
    name, port, is_address = authority(field, text)
    if port is not None:
        raise invalid(field, "must be a name or an address alone, without a port")
    return name, is_address


def authority(field: str, text: str) -> tuple[str, int | None, bool]:
    """Returns a host, its port if there is one, and whether the host is an address. IPv6 alone needs no brackets."""
    if "/" in text:
        raise invalid(field, "must be a name or an address, and no URL")
    is_bare_ipv6 = text.count(":") > 1 and not text.startswith("[")
    try:
        name, port, is_address = parse_authority(f"[{text}]" if is_bare_ipv6 else text)
    except ValueError as error:
        raise invalid(field, str(error)) from error
    return (_unmapped(name) if is_address else name.removesuffix(".")), port, is_address


def check_reachable(field: str, name: str, egress: Egress) -> None:
    """Refuses an address to which our probers may not go. Names are looked at when they are resolved."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return
    if (refusal := egress.refusal(name)) is not None:
        raise invalid(field, f"is no address that we probe: {refusal.rstrip('.')}")


def bracketed(name: str) -> str:
    """Returns a host as it stands in a URL."""
    return f"[{name}]" if ":" in name else name


def _unmapped(text: str) -> str:
    """An IPv4 address in the clothes of IPv6 (::ffff:192.0.2.1) is the same machine, and the same record."""
    address = ipaddress.ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
