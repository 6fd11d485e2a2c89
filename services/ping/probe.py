"""Kind `ping`: sends echo requests to one address of the host and says what their answers mean."""

import asyncio
import socket
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import NamedTuple, Self

from libs.model.outcome import Fact, Hop, Outcome, Reason, Status
from libs.model.probe import time_budget_s
from libs.net.address_families import probe_families
from libs.net.egress import EgressPolicy
from libs.net.resolver import Resolver
from libs.net.sockets import literal_address
from libs.net.stall import StallMeter
from libs.net.verdict import Verdict
from services.ping import routes
from services.ping.echo_series import EchoSeries, fit_timing, make_requests
from services.ping.icmp import IcmpError
from services.ping.icmp_errors import error_verdict, error_verdicts
from services.ping.rtt_stats import series_samples
from services.ping.spec import PingSpec
from services.ping.transports.base import IcmpTransport, SeriesEnd
from services.ping.transports.kernel_timestamps import enable_kernel_timestamps
from services.ping.transports.selection import open_transport
from services.ping.verdict import PingObservation, judge

_FAMILIES = {"4": socket.AF_INET, "6": socket.AF_INET6}


class _Deadline(NamedTuple):
    """When a check has to end, by two clocks that are mostly one: time.monotonic() and the loop's."""

    monotonic_s: float
    loop_s: float
    total_s: float

    def is_late(self, now: float) -> bool:
        """Tells that at an instant of time.monotonic() more than half of the time is gone."""
        return self.monotonic_s - now < self.total_s / 2


class PingProbe:
    """The probe of kind ping: one resolver, and one way of sending for all checks of the process."""

    def __init__(self, nameservers: Sequence[str] = (), egress: EgressPolicy | None = None) -> None:
        self._nameservers = nameservers
        self._egress = egress or EgressPolicy()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._resolver = await self._stack.enter_async_context(Resolver(self._nameservers))
        self._stall_meter = await self._stack.enter_async_context(StallMeter(loop))
        await self._stack.enter_async_context(enable_kernel_timestamps())
        self.transport: IcmpTransport = await self._stack.enter_async_context(open_transport(loop))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def __call__(self, spec: PingSpec, timeout_s: float) -> Outcome:
        return await probe_families(spec, spec.family, lambda each: self._probe_family(each, timeout_s))

    async def _probe_family(self, spec: PingSpec, timeout_s: float) -> Outcome:
        begun_at = time.monotonic()
        left_s = time_budget_s(timeout_s)
        until = _Deadline(begun_at + left_s, asyncio.get_running_loop().time() + left_s, left_s)
        if spec.address is not None:
            return await self._ping_address(spec, spec.address, until, {})
        found = await self._resolver.resolve(spec.hostname, 0, until.monotonic_s, _FAMILIES.get(spec.family))
        phases = {"resolve_s": time.monotonic() - begun_at}
        if isinstance(found, Verdict):
            facts: dict[str, Fact] = {"ip_protocol": int(spec.family)} if spec.family in _FAMILIES else {}
            return _outcome(found, dict(phases), Hop(target=spec.target, phases=phases, facts=facts))
        return await self._ping_address(spec, found[0].host, until, phases)

    async def _ping_address(self, spec: PingSpec, host: str, until: _Deadline, phases: dict[str, float]) -> Outcome:
        begun_at, stalled_s = time.monotonic(), self._stall_meter.stalled_s
        budget_s = until.monotonic_s - begun_at
        rate = fit_timing(budget_s, spec.packets, spec.packet_interval_s, spec.packet_timeout_s)
        flight = EchoSeries(
            family=literal_address(host, 0).family,
            address=host,
            requests=make_requests(spec.packets, spec.size_bytes),
            reply_timeout_s=rate.reply_timeout_s,
            ttl=spec.ttl,
            dont_fragment=spec.dont_fragment,
        )
        # The one place where packets leave: the address is judged, not the name.
        refusal = self._egress.refusal(host)
        if refusal is None:
            flown = await self.transport.run_series(flight, rate, until.loop_s)
        else:
            flown = SeriesEnd(Verdict(Status.UNKNOWN, Reason.EGRESS_REFUSED, refusal))
        took_s = time.monotonic() - begun_at
        stalled = self._stall_meter.invalidates_timeout(took_s, stalled_s)
        blurred = flight.without_timestamp > 0 and self._stall_meter.stalled_s > stalled_s
        figures, reports = series_samples(flight), _unanswered_errors(flight)
        said = error_verdicts(reports, lambda report: _to_error_verdict(flight, report))
        hurried = until.is_late(begun_at) and rate.reply_timeout_s < spec.packet_timeout_s
        verdict = judge(
            spec, PingObservation(figures, said, stalled, blurred, flown.buffer_overflowed, hurried, flown.send_failure)
        )
        phases = phases | {"ping_s": took_s}
        hop = Hop(target=spec.target, address=host, phases=phases, facts=_facts(flight, reports))
        return _outcome(verdict, phases | figures, hop)


def _unanswered_errors(flight: EchoSeries) -> list[IcmpError]:
    return [packet.error for packet in flight.requests if packet.error is not None and packet.rtt_s is None]


def _to_error_verdict(flight: EchoSeries, report: IcmpError) -> Verdict:
    """Returns what an ICMP error means, with what this machine knows about its own addresses and routes."""
    own = _is_local_error(flight, report)
    return error_verdict(report, ours=own, on_link=own and routes.is_on_link(flight.family, flight.address))


def _is_local_error(flight: EchoSeries, report: IcmpError) -> bool:
    """Tells that this machine itself sent the error. A target that is this machine speaks for itself."""
    if report.sender == flight.address:
        return False
    if report.quoted_source:
        return report.sender == socket.inet_ntop(flight.family, report.quoted_source)
    return routes.is_local(flight.family, report.sender)


def _facts(flight: EchoSeries, reports: list[IcmpError]) -> dict[str, Fact]:
    facts: dict[str, Fact] = {"ip_protocol": flight.version}
    if flight.reply_ttl is not None:
        facts["reply_ttl"] = flight.reply_ttl
    if reports:
        facts |= {"icmp_type": reports[0].icmp_type, "icmp_code": reports[0].code, "icmp_from": reports[0].sender}
        facts |= {} if reports[0].mtu is None else {"icmp_mtu_bytes": reports[0].mtu}
    return facts


def _outcome(verdict: Verdict, numbers: dict[str, float], hop: Hop) -> Outcome:
    return Outcome(status=verdict.status, reason=verdict.reason, detail=verdict.detail, samples=numbers, hops=[hop])
