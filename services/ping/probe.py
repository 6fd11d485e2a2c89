"""Kind `ping`: sends echo requests to one address of the host and says what their answers mean."""

import asyncio
import socket
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import NamedTuple, Self

from libs.model.outcome import Fact, Hop, Outcome, Reason, Status
from libs.model.probe import patience_s
from libs.net.dial import literal
from libs.net.egress import Egress
from libs.net.families import over_families
from libs.net.fault import Fault
from libs.net.resolve import Resolver
from libs.net.stall import StallMeter
from services.ping import routes
from services.ping.figures import samples
from services.ping.flight import Flight, pace, payloads
from services.ping.packet import Report
from services.ping.spec import PingSpec
from services.ping.stamps import stamping
from services.ping.verdict import Seen, judge
from services.ping.way import Flown, Way
from services.ping.ways import open_way
from services.ping.words import explained, shared

_FAMILIES = {"4": socket.AF_INET, "6": socket.AF_INET6}


class _Until(NamedTuple):
    """When a check has to end, by two clocks that are mostly one: time.monotonic() and the loop's."""

    monotonic: float
    loop: float
    total_s: float

    def is_late(self, now: float) -> bool:
        """Tells that at an instant of time.monotonic() more than half of the time is gone."""
        return self.monotonic - now < self.total_s / 2


class PingProbe:
    """The probe of kind ping: one resolver, and one way of sending for all checks of the process."""

    def __init__(self, nameservers: Sequence[str] = (), egress: Egress | None = None) -> None:
        self._nameservers = nameservers
        self._egress = egress or Egress()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._resolver = await self._stack.enter_async_context(Resolver(self._nameservers))
        self._meter = await self._stack.enter_async_context(StallMeter(loop))
        await self._stack.enter_async_context(stamping())
        self.way: Way = await self._stack.enter_async_context(open_way(loop))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def __call__(self, spec: PingSpec, timeout_s: float) -> Outcome:
        return await over_families(spec, spec.family, lambda each: self._one(each, timeout_s))

    async def _one(self, spec: PingSpec, timeout_s: float) -> Outcome:
        begun_at = time.monotonic()
        left_s = patience_s(timeout_s)
        until = _Until(begun_at + left_s, asyncio.get_running_loop().time() + left_s, left_s)
        if spec.address is not None:
            return await self._ping(spec, spec.address, until, {})
        found = await self._resolver.resolve(spec.name, 0, until.monotonic, _FAMILIES.get(spec.family))
        phases = {"resolve_s": time.monotonic() - begun_at}
        if isinstance(found, Fault):
            facts: dict[str, Fact] = {"ip_protocol": int(spec.family)} if spec.family in _FAMILIES else {}
            return _outcome(found, dict(phases), Hop(target=spec.target, phases=phases, facts=facts))
        return await self._ping(spec, found[0].host, until, phases)

    async def _ping(self, spec: PingSpec, host: str, until: _Until, phases: dict[str, float]) -> Outcome:
        begun_at, stalled_s = time.monotonic(), self._meter.stalled_s
        budget_s = until.monotonic - begun_at
        rate = pace(budget_s, spec.packets, spec.packet_interval_s, spec.packet_timeout_s)
        flight = Flight(
            family=literal(host, 0).family,
            address=host,
            packets=payloads(spec.packets, spec.size_bytes),
            patience_s=rate.patience_s,
            ttl=spec.ttl,
            dont_fragment=spec.dont_fragment,
        )
        # The one place where packets leave: the address is judged, not the name.
        refusal = self._egress.refusal(host)
        if refusal is None:
            flown = await self.way.exchange(flight, rate, until.loop)
        else:
            flown = Flown(Fault(Status.UNKNOWN, Reason.EGRESS_REFUSED, refusal))
        took_s = time.monotonic() - begun_at
        stalled = self._meter.spoils(took_s, stalled_s)
        blurred = flight.unstamped > 0 and self._meter.stalled_s > stalled_s
        figures, reports = samples(flight), _reports(flight)
        said = shared(reports, lambda report: _explained(flight, report))
        hurried = until.is_late(begun_at) and rate.patience_s < spec.packet_timeout_s
        verdict = judge(spec, Seen(figures, said, stalled, blurred, flown.overflown, hurried, flown.fault))
        phases = phases | {"ping_s": took_s}
        hop = Hop(target=spec.target, address=host, phases=phases, facts=_facts(flight, reports))
        return _outcome(verdict, phases | figures, hop)


def _reports(flight: Flight) -> list[Report]:
    return [packet.report for packet in flight.packets if packet.report is not None and packet.rtt_s is None]


def _explained(flight: Flight, report: Report) -> Fault:
    """Returns what an ICMP error means, with what this machine knows about its own addresses and routes."""
    own = _is_ours(flight, report)
    return explained(report, ours=own, on_link=own and routes.is_on_link(flight.family, flight.address))


def _is_ours(flight: Flight, report: Report) -> bool:
    """Tells that this machine itself sent the error. A target that is this machine speaks for itself."""
    if report.said_by == flight.address:
        return False
    if report.origin:
        return report.said_by == socket.inet_ntop(flight.family, report.origin)
    return routes.is_local(flight.family, report.said_by)


def _facts(flight: Flight, reports: list[Report]) -> dict[str, Fact]:
    facts: dict[str, Fact] = {"ip_protocol": flight.version}
    if flight.reply_ttl is not None:
        facts["reply_ttl"] = flight.reply_ttl
    if reports:
        facts |= {"icmp_type": reports[0].kind, "icmp_code": reports[0].code, "icmp_from": reports[0].said_by}
        facts |= {} if reports[0].mtu is None else {"icmp_mtu_bytes": reports[0].mtu}
    return facts


def _outcome(verdict: Fault, numbers: dict[str, float], hop: Hop) -> Outcome:
    return Outcome(status=verdict.status, reason=verdict.reason, detail=verdict.detail, samples=numbers, hops=[hop])
