"""Addresses and the networks that they lie in."""

import ipaddress
from collections.abc import Iterable, Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Returns the networks that `texts` write as CIDR; ValueError for what is none."""
    return tuple(ipaddress.ip_network(text) for text in texts)


def is_inside(address: str, ranges: Sequence[Network]) -> bool:
    """Tells whether a client's address lies in one of `ranges`; what is no address lies in none."""
    found = address_of(address)
    return found is not None and any(found in each for each in ranges)


def address_of(text: str) -> Address | None:
    """Returns the address in its one form: a dual-stack listener shows IPv4 clients as ::ffff:a.b.c.d."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
