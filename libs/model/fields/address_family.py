"""Address family of a check, and the combined verdict over two families. Pure."""

import ipaddress
from typing import Literal

from msgspec.structs import replace

from libs.model.outcome import Outcome, Reason, Status

AddressFamily = Literal["any", "4", "6", "both"]

FAMILY_DOWN = "family_down"


def check_family(family: AddressFamily, resolve_to: str | None, host: str, *, is_address: bool) -> None:
    """Refuses what could never be dialled; the ValueError starts with the field's name."""
    if family == "any" and resolve_to is None:
        return
    if is_address and (family == "both" or not matches_family(family, host)):
        raise ValueError(f"family {family} needs a host name, or an address of that family")
    if resolve_to is None:
        return
    try:
        address = ipaddress.ip_address(resolve_to)
    except ValueError:
        raise ValueError("resolve_to must be an IPv4 or IPv6 address, without brackets and port") from None
    if "%" in resolve_to:
        raise ValueError("resolve_to must not name a network interface after an IPv6 address")
    if is_address:
        raise ValueError("resolve_to needs a host name: this target names an address already")
    if family == "both" or not matches_family(family, str(address)):
        raise ValueError(f"resolve_to is one address of IPv{address.version}: family must be any or {address.version}")


def matches_family(family: AddressFamily, host: str) -> bool:
    """Tells whether an IP literal can be reached over `family`."""
    return family in ("any", "both") or (":" in host) == (family == "6")


def combine_families(four: Outcome, six: Outcome) -> Outcome:
    """Returns what the outcomes over IPv4 and over IPv6 mean together: neither family hides the other.

    A family that we could not judge leaves the whole unknown, unless the other one is down: that much is known.
    The samples of each family have its name in front; the plain ones are those of the family that decided, of two
    that are up those of the slower one, and `ip_protocol` (4 or 6) names it. What expires first counts.
    """
    decides = _decisive(four, six)
    status, reason = decides.status, decides.reason
    if status is Status.DOWN and four.status is not six.status:
        status, reason = Status.DEGRADED, FAMILY_DOWN
    reported = decides
    if status is Status.UP:
        reported = max(four, six, key=_total_s)
    return Outcome(
        status=status,
        reason=reason,
        detail=f"Over IPv4: {four.detail} Over IPv6: {six.detail}",
        samples=reported.samples
        | {"ip_protocol": 4 if reported is four else 6}
        | _prefixed("ipv4", four)
        | _prefixed("ipv6", six)
        | _combined_total(four, six)
        | _earliest_expiry(four, six),
        hops=[hop if part is decides else replace(hop, said="") for part in (four, six) for hop in part.hops],
    )


_SEVERITY = {Status.DOWN: 0, Status.UNKNOWN: 1, Status.DEGRADED: 2, Status.UP: 3}


def _decisive(four: Outcome, six: Outcome) -> Outcome:
    """Returns the worse part. Of two that are down, the one that had an address is reported."""
    if four.status is six.status:
        return six if four.reason == Reason.NAME_NOT_FOUND else four
    return min(four, six, key=lambda part: _SEVERITY[part.status])


def _total_s(part: Outcome) -> float:
    return part.samples.get("total_s", 0.0)


def _combined_total(four: Outcome, six: Outcome) -> dict[str, float]:
    """Returns the duration of both, which run concurrently, if the kind reports one."""
    reported = "total_s" in four.samples or "total_s" in six.samples
    return {"total_s": max(_total_s(four), _total_s(six))} if reported else {}


def _earliest_expiry(four: Outcome, six: Outcome) -> dict[str, float]:
    return {
        name: min(part.samples[name] for part in (four, six) if name in part.samples)
        for name in ("tls_expires_in_s", "tls_chain_expires_in_s")
        if name in four.samples or name in six.samples
    }


def _prefixed(family: str, part: Outcome) -> dict[str, float]:
    return {f"{family}_{name}": value for name, value in part.samples.items()}
