"""IP addresses and networks."""

import ipaddress
from collections.abc import Iterable, Sequence

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_networks(texts: Iterable[str]) -> tuple[IpNetwork, ...]:
    """Returns the networks that `texts` write as CIDR; ValueError for what is none."""
    return tuple(ipaddress.ip_network(text) for text in texts)


def is_in_networks(address: str, ranges: Sequence[IpNetwork]) -> bool:
    """Tells whether a client's address lies in one of `ranges`; what is no address lies in none."""
    found = parse_ip(address)
    return found is not None and any(found in each for each in ranges)


def parse_ip(text: str) -> IpAddress | None:
    """Returns the address in its one form: a dual-stack listener shows IPv4 clients as ::ffff:a.b.c.d."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
