"""Validation of names, networks, instants and rates."""

import ipaddress
import re
from datetime import UTC, datetime

NAME_LENGTH_MAX = 200
CIDRS_MAX = 64
RATE_MAX = 1_000_000

CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")

# ::ffff:192.0.2.1 is compared with ranges as 192.0.2.1.
_IPV4_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")


def check_name(name: str) -> None:
    """Raises ValueError if the name is blank, too long or contains control characters."""
    if not name.strip() or len(name) > NAME_LENGTH_MAX or CONTROL_CHARACTERS.search(name):
        raise ValueError(
            f"name: must be 1 to {NAME_LENGTH_MAX} characters, must not be blank and must not hold control characters"
        )


def check_network(text: str) -> None:
    """Raises ValueError for what is neither an address nor a network, or one in which no client or target is ever seen."""
    network = ipaddress.ip_network(text)
    if "%" in text:
        raise ValueError(f"{text!r} names a network interface")
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_IPV4_MAPPED):
        raise ValueError(f"{text!r} is IPv4 in IPv6: write it as IPv4")


def check_cidr(field: str, text: str) -> None:
    """Raises ValueError for what `check_network` refuses."""
    try:
        check_network(text)
    except ValueError as error:
        raise ValueError(f"{field}: must be an address or a network such as 192.0.2.0/24: {error}") from None


def check_cidrs(field: str, texts: list[str]) -> None:
    """Raises ValueError that names the first of `texts` that is no network."""
    for index, text in enumerate(texts):
        check_cidr(f"{field}[{index}]", text)


def check_instant(field: str, instant: datetime) -> None:
    """Raises ValueError for an instant that no calendar has in UTC."""
    try:
        instant.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{field}: must lie in the years 1 to 9999, in UTC too") from None


def check_rate(per_s: float, burst: int) -> None:
    """Raises ValueError for a rate or a burst outside the allowed range."""
    if not 0 <= per_s <= RATE_MAX:
        raise ValueError(f"rate: per_s must be from 0 (no limit) to {RATE_MAX}")
    if not 1 <= burst <= RATE_MAX:
        raise ValueError(f"rate: burst must be from 1 to {RATE_MAX}")
