"""Kind `ping`: sends echo requests to one address of the host and judges the replies."""

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
    """End of a check, by time.monotonic() and by the event loop's clock, which are mostly the same."""

    monotonic_s: float
    loop_s: float
    total_s: float

    def is_late(self, now: float) -> bool:
        """Returns whether, at an instant of time.monotonic(), more than half of the time has passed."""
        return self.monotonic_s - now < self.total_s / 2


class PingProbe:
    """The probe of kind ping: one resolver, and one ICMP transport for all checks of the process."""

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
        deadline = _Deadline(begun_at + left_s, asyncio.get_running_loop().time() + left_s, left_s)
        if spec.address is not None:
            return await self._ping_address(spec, spec.address, deadline, {})
        found = await self._resolver.resolve(spec.hostname, 0, deadline.monotonic_s, _FAMILIES.get(spec.family))
        phases = {"resolve_s": time.monotonic() - begun_at}
        if isinstance(found, Verdict):
            facts: dict[str, Fact] = {"ip_protocol": int(spec.family)} if spec.family in _FAMILIES else {}
            return _outcome(found, dict(phases), Hop(target=spec.target, phases=phases, facts=facts))
        return await self._ping_address(spec, found[0].host, deadline, phases)

    async def _ping_address(self, spec: PingSpec, host: str, deadline: _Deadline, phases: dict[str, float]) -> Outcome:
        begun_at, stalled_s = time.monotonic(), self._stall_meter.stalled_s
        budget_s = deadline.monotonic_s - begun_at
        timing = fit_timing(budget_s, spec.packets, spec.packet_interval_s, spec.packet_timeout_s)
        series = EchoSeries(
            family=literal_address(host, 0).family,
            address=host,
            requests=make_requests(spec.packets, spec.size_bytes),
            reply_timeout_s=timing.reply_timeout_s,
            ttl=spec.ttl,
            dont_fragment=spec.dont_fragment,
        )
        # The egress policy applies here, where packets are sent: to the address, not the name.
        refusal = self._egress.refusal(host)
        if refusal is None:
            ended = await self.transport.run_series(series, timing, deadline.loop_s)
        else:
            ended = SeriesEnd(Verdict(Status.UNKNOWN, Reason.EGRESS_REFUSED, refusal))
        took_s = time.monotonic() - begun_at
        stalled = self._stall_meter.invalidates_timeout(took_s, stalled_s)
        timestamps_unreliable = series.without_timestamp > 0 and self._stall_meter.stalled_s > stalled_s
        samples, errors = series_samples(series), _unanswered_errors(series)
        verdicts = error_verdicts(errors, lambda error: _to_error_verdict(series, error))
        resolver_slow = deadline.is_late(begun_at) and timing.reply_timeout_s < spec.packet_timeout_s
        verdict = judge(
            spec,
            PingObservation(
                samples,
                verdicts,
                stalled,
                timestamps_unreliable,
                ended.buffer_overflowed,
                resolver_slow,
                ended.send_failure,
            ),
        )
        phases = phases | {"ping_s": took_s}
        hop = Hop(target=spec.target, address=host, phases=phases, facts=_facts(series, errors))
        return _outcome(verdict, phases | samples, hop)


def _unanswered_errors(series: EchoSeries) -> list[IcmpError]:
    return [packet.error for packet in series.requests if packet.error is not None and packet.rtt_s is None]


def _to_error_verdict(series: EchoSeries, error: IcmpError) -> Verdict:
    """Returns the verdict on an ICMP error, given this machine's addresses and routes."""
    own = _is_local_error(series, error)
    return error_verdict(error, ours=own, on_link=own and routes.is_on_link(series.family, series.address))


def _is_local_error(series: EchoSeries, error: IcmpError) -> bool:
    """Returns whether this machine sent the error about a packet to another host."""
    if error.sender == series.address:
        return False
    if error.quoted_source:
        return error.sender == socket.inet_ntop(series.family, error.quoted_source)
    return routes.is_local(series.family, error.sender)


def _facts(series: EchoSeries, errors: list[IcmpError]) -> dict[str, Fact]:
    facts: dict[str, Fact] = {"ip_protocol": series.version}
    if series.reply_ttl is not None:
        facts["reply_ttl"] = series.reply_ttl
    if errors:
        facts |= {"icmp_type": errors[0].icmp_type, "icmp_code": errors[0].code, "icmp_from": errors[0].sender}
        facts |= {} if errors[0].mtu is None else {"icmp_mtu_bytes": errors[0].mtu}
    return facts


def _outcome(verdict: Verdict, numbers: dict[str, float], hop: Hop) -> Outcome:
    return Outcome(status=verdict.status, reason=verdict.reason, detail=verdict.detail, samples=numbers, hops=[hop])
