"""Over which address family a check goes, and what two families together mean. Pure."""

from typing import Literal

from libs.model.outcome import Outcome, Reason, Status

Family = Literal["any", "4", "6", "both"]

FAMILY_DOWN = "family_down"


def check_family(family: Family, address: str | None) -> None:
    """Refuses what could never be reached; `address` is None for a name. The ValueError starts with the field's name."""
    if family == "any" or address is None:
        return
    if family == "both" or (":" in address) != (family == "6"):
        raise ValueError(f"family {family} needs a host name, or an address of that family")


def joined(four: Outcome, six: Outcome) -> Outcome:
    """Returns what the outcomes over IPv4 and over IPv6 mean together: neither family hides the other.

    A family that we could not judge leaves the whole unknown, unless the other one is down: that much is known.
    The samples of each family have its name in front; the plain ones are those of the family that decided.
    """
    decides = _deciding(four, six)
    status, reason = decides.status, decides.reason
    if status is Status.DOWN and four.status is not six.status:
        status, reason = Status.DEGRADED, FAMILY_DOWN
    return Outcome(
        status=status,
        reason=reason,
        detail=f"Over IPv4: {four.detail} Over IPv6: {six.detail}",
        samples=decides.samples | _named("ipv4", four) | _named("ipv6", six),
        hops=[*four.hops, *six.hops],
    )


_RANK = {Status.DOWN: 0, Status.UNKNOWN: 1, Status.DEGRADED: 2, Status.UP: 3}


def _deciding(four: Outcome, six: Outcome) -> Outcome:
    """Returns the worse part. Of two that are down, the one that had an address tells more."""
    if four.status is six.status:
        return six if four.reason == Reason.NAME_NOT_FOUND else four
    return min(four, six, key=lambda part: _RANK[part.status])


def _named(family: str, part: Outcome) -> dict[str, float]:
    return {f"{family}_{name}": value for name, value in part.samples.items()}
