"""Egress policy: the IP addresses this process may connect to. Pure; libs.net.sockets checks every connection with it.

The address is checked, not the name: the DNS answer could change between a check of the name and the connection.
An IPv6 address that embeds an IPv4 address (NAT64, 6to4, Teredo, ISATAP ...) is checked in both forms.
"""

import functools
import ipaddress
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

# These services return credentials of this machine or of its cloud account. No setting permits access.
METADATA_RANGES = {
    "169.254.169.254/32": "AWS, Azure, Google, Oracle, OpenStack, DigitalOcean, Hetzner",
    "169.254.170.2/32": "AWS ECS task credentials",
    "169.254.170.23/32": "AWS EKS pod identity",
    "fd00:ec2::23/128": "AWS EKS pod identity",
    "fd00:ec2::254/128": "AWS",
    "fd20:ce::254/128": "Google",
    "fe80::a9fe:a9fe/128": "OpenStack",
    "100.100.100.200/32": "Alibaba",
    "168.63.129.16/32": "Azure WireServer: the certificates and settings of the machine's extensions",
    "169.254.0.23/32": "Tencent",
    "169.254.42.42/32": "Scaleway",
    "fd00:42::42/128": "Scaleway",
    "192.0.0.192/32": "Oracle Classic",
}

# All addresses that are not public unicast, from IANA's special-purpose registries (RFC 6890 and later),
# written out: `is_private` of the ipaddress module changes between Python versions.
# The first range that contains an address gives the label.
NOT_PUBLIC_RANGES = {
    "0.0.0.0/8": "this host",
    "10.0.0.0/8": "private",
    "100.64.0.0/10": "carrier-grade NAT",
    "127.0.0.0/8": "loopback",
    "169.254.0.0/16": "link-local",
    "172.16.0.0/12": "private",
    "192.0.0.0/24": "IETF protocol assignments",
    "192.0.2.0/24": "documentation",
    "192.31.196.0/24": "AS112",
    "192.52.193.0/24": "multicast tunnels",
    "192.88.99.0/24": "6to4 relays",
    "192.168.0.0/16": "private",
    "192.175.48.0/24": "AS112",
    "198.18.0.0/15": "benchmarks",
    "198.51.100.0/24": "documentation",
    "203.0.113.0/24": "documentation",
    "224.0.0.0/4": "multicast",
    "255.255.255.255/32": "broadcast",
    "240.0.0.0/4": "reserved",
    "::/128": "this host",
    "::1/128": "loopback",
    "64:ff9b:1::/48": "local NAT64",
    "100::/64": "discarded",
    "2001::/23": "IETF protocol assignments",  # with Teredo, benchmarks, ORCHID
    "2001:db8::/32": "documentation",
    "2620:4f:8000::/48": "AS112",
    "3fff::/20": "documentation",
    "5f00::/16": "segment routing",
    "fc00::/7": "unique local",
    "fe80::/10": "link-local",
    "fec0::/10": "site-local",
    "ff00::/8": "multicast",
    # Global unicast is 2000::/3; the rest is unallocated.
    "::/3": "reserved",
    "4000::/2": "reserved",
    "8000::/1": "reserved",
}


class IpRange(NamedTuple):
    """One address range of one IP version, as integers, with the label used in messages."""

    version: int
    first: int
    last: int
    label: str


class IpRangeTable:
    """Ordered list of ranges; the first range that contains an address wins."""

    def __init__(self, ranges: Iterable[IpRange]) -> None:
        self._ranges: dict[int, list[IpRange]] = {4: [], 6: []}
        for each in ranges:
            self._ranges[each.version].append(each)

    def find(self, address: IPv4Address | IPv6Address) -> IpRange | None:
        number = int(address)
        for each in self._ranges[address.version]:
            if each.first <= number <= each.last:
                return each
        return None


class EmbeddedAddresses(NamedTuple):
    """The IPv4 addresses embedded in an IPv6 address. `is_exclusive`: packets reach only those."""

    addresses: tuple[IPv4Address, ...] = ()
    is_exclusive: bool = False


class EgressPolicy:
    """Egress policy of this process: `private` permits all non-public addresses, `allow` and `deny` single ranges.

    Metadata addresses are always refused; then `deny` takes precedence over `allow`, and `allow` over `private`.
    """

    def __init__(self, *, private: bool = True, allow: Iterable[str] = (), deny: Iterable[str] = ()) -> None:
        denied = (_parse_range(text, "denied by VEDETTE_EGRESS_DENY") for text in deny)
        self._denied = IpRangeTable((*(_parse_range(text, "cloud metadata") for text in METADATA_RANGES), *denied))
        self._allowed = IpRangeTable(_parse_range(text, "allowed") for text in allow)
        self._not_public = IpRangeTable(
            () if private else (_parse_range(text, label) for text, label in NOT_PUBLIC_RANGES.items())
        )
        # The same few thousand targets recur every minute; a cache miss costs a few microseconds.
        self.refusal = functools.lru_cache(maxsize=8192)(self._refusal)

    def _refusal(self, host: str) -> str | None:
        """Returns the sentence that explains why the IP literal `host` is refused, or None if it is permitted."""
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return f"Our egress policy refuses {host[:100]!r}: it is no IP address."
        inner = embedded_ipv4(address) if isinstance(address, IPv6Address) else EmbeddedAddresses()
        forms = inner.addresses if inner.is_exclusive else (address, *inner.addresses)
        found = _find_first(self._denied, forms)
        if found is None and self._allowed.find(address) is None:
            found = _find_first(self._not_public, [form for form in forms if self._allowed.find(form) is None])
        if found is None:
            return None
        form, rule = found
        inside = "" if form == address else f", which carries {form}"
        return f"Our egress policy refuses {host}{inside}: {rule.label}."


def embedded_ipv4(address: IPv6Address) -> EmbeddedAddresses:
    """Returns the IPv4 addresses at which a packet to `address` may arrive."""
    number = int(address)
    low = IPv4Address(number & 0xFFFFFFFF)
    prefix = number >> 32
    if prefix in _EXCLUSIVE_PREFIXES:
        return EmbeddedAddresses((low,), is_exclusive=True)
    if prefix in _LEGACY_PREFIXES and number > 1:
        return EmbeddedAddresses((low,))
    if number >> 80 == _LOCAL_NAT64_PREFIX:
        return EmbeddedAddresses(_local_nat64_ipv4(number))
    if number >> 112 == 0x2002:
        return EmbeddedAddresses((IPv4Address(number >> 80 & 0xFFFFFFFF), *_isatap_ipv4(number)))
    if number >> 96 == 0x20010000:  # Teredo: the server, and the client with inverted bits (RFC 4380 section 4)
        return EmbeddedAddresses((IPv4Address(number >> 64 & 0xFFFFFFFF), IPv4Address(~number & 0xFFFFFFFF)))
    return EmbeddedAddresses(_isatap_ipv4(number))


# Mapped (::ffff:0:0/96) and the well-known NAT64 (64:ff9b::/96).
_EXCLUSIVE_PREFIXES = frozenset({0xFFFF, 0x64FF9B << 64})
# Compatible (::/96, RFC 4291) and translated (::ffff:0:0:0/96, RFC 2765): deprecated.
_LEGACY_PREFIXES = frozenset({0, 0xFFFF << 16})
_LOCAL_NAT64_PREFIX = 0x64FF9B0001


def _isatap_ipv4(number: int) -> tuple[IPv4Address, ...]:
    """ISATAP (RFC 5214): any prefix, then 5efe with or without the universal bit, then the IPv4 address."""
    return (IPv4Address(number & 0xFFFFFFFF),) if number >> 32 & 0xFCFFFFFF == 0x5EFE else ()


def _local_nat64_ipv4(number: int) -> tuple[IPv4Address, ...]:
    """Local-use NAT64 has a site-specific prefix length (RFC 6052 section 2.2): every possible position is returned.

    Bits 64 to 71 are skipped; they are removed before the prefixes of 48, 56 and 64 bits are applied.
    """
    joined = (number >> 64 << 56) | (number & (1 << 56) - 1)
    return (
        *(IPv4Address(joined >> 120 - size - 32 & 0xFFFFFFFF) for size in (48, 56, 64)),
        IPv4Address(number & 0xFFFFFFFF),
    )


def _parse_range(text: str, label: str) -> IpRange:
    """Returns the range of a CIDR notation or of a single address. ValueError if the text is neither."""
    network = ipaddress.ip_network(text)
    return IpRange(network.version, int(network[0]), int(network[-1]), f"{label} ({text})")


def _find_first(
    table: IpRangeTable, forms: Iterable[IPv4Address | IPv6Address]
) -> tuple[IPv4Address | IPv6Address, IpRange] | None:
    return next(((form, rule) for form in forms if (rule := table.find(form)) is not None), None)
