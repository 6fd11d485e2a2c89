"""Verdicts on ICMP errors: the reason of each type and code, and whether target or prober caused it. Pure."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable

from libs.model.outcome import Reason, Status
from libs.net.verdict import Verdict
from services.ping import icmp
from services.ping.icmp import IcmpError
from services.ping.spec import PingReason

# RFC 792, RFC 1122 section 3.2.2.1, RFC 1812 section 5.2.7.1.
# Errors come from one router, or from a few that share the traffic; more senders than that are spoofed.
ERROR_VERDICTS_MAX = 8
_UNREACHABLE = {
    0: PingReason.NET_UNREACHABLE,
    1: PingReason.HOST_UNREACHABLE,
    2: PingReason.PROTOCOL_UNREACHABLE,
    3: PingReason.PORT_UNREACHABLE,
    4: PingReason.FRAGMENTATION_NEEDED,
    6: PingReason.NET_UNREACHABLE,
    7: PingReason.HOST_UNREACHABLE,
    9: PingReason.PROHIBITED,
    10: PingReason.PROHIBITED,
    11: PingReason.NET_UNREACHABLE,
    12: PingReason.HOST_UNREACHABLE,
    13: PingReason.PROHIBITED,
}
# RFC 4443 section 3.1; codes 5 and 6 are more specific forms of 1.
_UNREACHABLE_6 = {
    0: PingReason.NET_UNREACHABLE,
    1: PingReason.PROHIBITED,
    3: PingReason.HOST_UNREACHABLE,
    4: PingReason.PORT_UNREACHABLE,
    5: PingReason.PROHIBITED,
    6: PingReason.PROHIBITED,
}
_TIME_EXCEEDED = {0: PingReason.TTL_EXCEEDED, 1: PingReason.REASSEMBLY_TIMEOUT}
_REASONS_BY_CODE = {
    (4, icmp.UNREACHABLE): _UNREACHABLE,
    (4, icmp.TIME_EXCEEDED): _TIME_EXCEEDED,
    (6, icmp.UNREACHABLE_6): _UNREACHABLE_6,
    (6, icmp.TIME_EXCEEDED_6): _TIME_EXCEEDED,
}
_REASONS_BY_TYPE = {
    (4, icmp.PARAMETER_PROBLEM): PingReason.PARAMETER_PROBLEM,
    (6, icmp.TOO_BIG_6): PingReason.FRAGMENTATION_NEEDED,
    (6, icmp.PARAMETER_PROBLEM_6): PingReason.PARAMETER_PROBLEM,
}
_DETAILS: dict[Reason | PingReason, str] = {
    PingReason.NET_UNREACHABLE: "has no route to the network",
    PingReason.HOST_UNREACHABLE: "cannot find the host",
    PingReason.PROTOCOL_UNREACHABLE: "does not accept ICMP",
    PingReason.PORT_UNREACHABLE: "reports the port as unreachable",
    PingReason.PROHIBITED: "prohibits the packet",
    PingReason.TTL_EXCEEDED: "dropped the packet because its TTL expired",
    PingReason.REASSEMBLY_TIMEOUT: "did not receive all fragments of the packet",
    PingReason.FRAGMENTATION_NEEDED: "cannot forward the packet without fragmenting it",
    PingReason.PARAMETER_PROBLEM: "rejects the header of the packet",
    Reason.UNREACHABLE: "reports that the address is unreachable",
}


def error_reason(error: IcmpError) -> Reason | PingReason:
    """Returns the reason of an ICMP error; obsolete codes are `unreachable`."""
    kind = error.version, error.icmp_type
    if kind in _REASONS_BY_TYPE:
        return _REASONS_BY_TYPE[kind]
    return _REASONS_BY_CODE.get(kind, {}).get(error.code, Reason.UNREACHABLE)


def error_verdicts(errors: Iterable[IcmpError], explain: Callable[[IcmpError], Verdict]) -> tuple[Verdict, ...]:
    """Returns the verdicts on ICMP errors, most frequent first.

    Equal errors are judged once, and at most ERROR_VERDICTS_MAX different ones: each verdict takes system calls.
    """
    same = Counter(error._replace(key=0, quoted_payload=b"") for error in errors)
    found = ((explain(error), count) for error, count in same.most_common(ERROR_VERDICTS_MAX))
    return tuple(itertools.chain.from_iterable(itertools.repeat(fault, count) for fault, count in found))


def error_verdict(error: IcmpError, *, ours: bool, on_link: bool) -> Verdict:
    """Returns the verdict on an ICMP error.

    `ours`: this machine sent the error, about its own packet. It is then a verdict on the target only if that is a
    neighbour (`on_link`) that does not respond; otherwise the gateway is down, or a local packet filter rejects the
    packet.
    """
    found = error_reason(error)
    if ours and found in (PingReason.PROHIBITED, PingReason.PORT_UNREACHABLE):
        return Verdict(Status.UNKNOWN, Reason.EGRESS_REFUSED, "This machine forbids pings to the address.")
    if ours and not on_link:
        return Verdict(Status.UNKNOWN, Reason.NO_ROUTE, "This machine cannot reach its gateway.")
    sender = "This machine" if ours else error.sender
    mtu = f" (MTU {error.mtu} bytes)" if error.mtu else ""
    detail = f"{sender} {_DETAILS[found]}{mtu}: ICMP type {error.icmp_type}, code {error.code}."
    return Verdict(Status.DOWN, found, detail)
