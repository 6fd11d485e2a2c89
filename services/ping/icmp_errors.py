"""What ICMP errors mean: their types and codes as reasons, and whose fault they are. Pure."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable

from libs.model.outcome import Reason, Status
from libs.net.verdict import Verdict
from services.ping import icmp
from services.ping.icmp import IcmpError
from services.ping.spec import PingReason

# RFC 792, RFC 1122 section 3.2.2.1, RFC 1812 section 5.2.7.1.
# One router sends errors, or some that share the traffic; more speakers than that are somebody's game.
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
# RFC 4443 section 3.1; codes 5 and 6 are finer words for 1.
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
    PingReason.PROTOCOL_UNREACHABLE: "does not take ICMP",
    PingReason.PORT_UNREACHABLE: "refuses the packet as if it had no such port",
    PingReason.PROHIBITED: "forbids the packet",
    PingReason.TTL_EXCEEDED: "had to drop the packet: it had passed as many routers as its TTL allows",
    PingReason.REASSEMBLY_TIMEOUT: "did not get all fragments of the packet",
    PingReason.FRAGMENTATION_NEEDED: "cannot pass the packet on in one piece",
    PingReason.PARAMETER_PROBLEM: "does not understand the packet's header",
    Reason.UNREACHABLE: "says that the address cannot be reached",
}


def error_reason(report: IcmpError) -> Reason | PingReason:
    """Returns the reason that a report stands for; codes that nobody sends any more are `unreachable`."""
    kind = report.version, report.icmp_type
    if kind in _REASONS_BY_TYPE:
        return _REASONS_BY_TYPE[kind]
    return _REASONS_BY_CODE.get(kind, {}).get(report.code, Reason.UNREACHABLE)


def error_verdicts(reports: Iterable[IcmpError], explain: Callable[[IcmpError], Verdict]) -> tuple[Verdict, ...]:
    """Returns what ICMP errors mean, those first that came most often.

    Errors that say the same are explained once, and EXPLAINED_MAX at most: to explain one takes system calls.
    """
    same = Counter(report._replace(key=0, quoted_payload=b"") for report in reports)
    found = ((explain(report), count) for report, count in same.most_common(ERROR_VERDICTS_MAX))
    return tuple(itertools.chain.from_iterable(itertools.repeat(fault, count) for fault, count in found))


def error_verdict(report: IcmpError, *, ours: bool, on_link: bool) -> Verdict:
    """Returns what an ICMP error says about the target.

    `ours` tells that this very machine sent it, about its own packet; then it speaks of the target only if that is a
    neighbour (`on_link`) who does not answer. Otherwise our gateway is gone, or our own packet filter refuses.
    """
    found = error_reason(report)
    if ours and found in (PingReason.PROHIBITED, PingReason.PORT_UNREACHABLE):
        return Verdict(Status.UNKNOWN, Reason.EGRESS_REFUSED, "This machine forbids pings to the address.")
    if ours and not on_link:
        return Verdict(Status.UNKNOWN, Reason.NO_ROUTE, "This machine cannot reach its own next router.")
    who = "This machine" if ours else report.sender
    mtu = f" (its link takes {report.mtu} bytes)" if report.mtu else ""
    detail = f"{who} {_DETAILS[found]}{mtu}: ICMP type {report.icmp_type}, code {report.code}."
    return Verdict(Status.DOWN, found, detail)
