"""What names, networks and rates that people choose must look like."""

import ipaddress
import re

NAME_LENGTH_MAX = 200
CIDRS_MAX = 64
RATE_MAX = 1_000_000

UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def check_name(name: str) -> None:
    """Raises ValueError for a name that nobody could read."""
    if not name.strip() or len(name) > NAME_LENGTH_MAX or UNPRINTABLE.search(name):
        raise ValueError(
            f"name: must be 1 to {NAME_LENGTH_MAX} characters, must not be blank and must not hold control characters"
        )


def check_cidr(field: str, text: str) -> None:
    """Raises ValueError for what is neither an address nor a network."""
    try:
        ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(f"{field}: must be an address or a network such as 192.0.2.0/24: {error}") from None


def check_cidrs(field: str, texts: list[str]) -> None:
    """Raises ValueError that names the first of `texts` that is no network."""
    for index, text in enumerate(texts):
        check_cidr(f"{field}[{index}]", text)


def check_rate(per_s: float, burst: int) -> None:
    """Raises ValueError for a bucket that nobody could draw from."""
    if not 0 <= per_s <= RATE_MAX:
        raise ValueError(f"rate: per_s must be from 0 (no limit) to {RATE_MAX}")
    if not 1 <= burst <= RATE_MAX:
        raise ValueError(f"rate: burst must be from 1 to {RATE_MAX}")
