"""Kind `http`: follows a request to its answer and says what it means."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from libs.model.fields.address_family import matches_family
from libs.model.fields.url import Url
from libs.model.outcome import Hop, Outcome, Reason, Status
from libs.model.probe import time_budget_s
from libs.net.address_families import probe_families
from libs.net.egress import EgressPolicy
from libs.net.resolver import Resolver
from libs.net.stall import TOO_BUSY, StallMeter
from libs.net.tls.sessions import TlsContexts
from libs.net.verdict import Verdict
from services.http.client.request import HttpRequest, first_request, redirect_request
from services.http.hop import ALPN_PROTOCOLS, HopRunner, HttpHop
from services.http.redaction.excerpt import response_excerpt
from services.http.redaction.redact import redact_outcome
from services.http.spec import HttpReason, HttpSpec
from services.http.verdict import http_version_verdict, time_verdict, tls_version_verdict

_PHASES = ("resolve_s", "connect_s", "proxy_s", "tls_s", "first_byte_s", "transfer_s")
_PATTERN_THREADS = 2


class HttpProbe:
    """The probe of kind http: one resolver and one set of root certificates, a fresh connection for every hop."""

    def __init__(
        self,
        nameservers: Sequence[str] = (),
        ca_file: Path | None = None,
        clock: Callable[[], float] = time.time,
        *,
        egress: EgressPolicy | None = None,
    ) -> None:
        self._clock = clock
        self._nameservers = nameservers
        self._ca_file = ca_file
        self._egress = egress or EgressPolicy()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        resolver = await self._stack.enter_async_context(Resolver(self._nameservers))
        # Of its own, so that patterns hold up nothing but patterns. A check whose time is up takes its work back.
        self._threads = ThreadPoolExecutor(_PATTERN_THREADS, "patterns")
        self._stack.callback(self._threads.shutdown, wait=False, cancel_futures=True)
        self._stall_meter = await self._stack.enter_async_context(StallMeter(loop))
        self._hop_runner = HopRunner(
            loop, resolver, TlsContexts(self._ca_file, alpn=ALPN_PROTOCOLS["any"]), self._egress, self._clock
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def __call__(self, spec: HttpSpec, timeout_s: float) -> Outcome:
        outcome = await probe_families(spec, spec.family, lambda each: self._probe_family(each, timeout_s))
        return redact_outcome(outcome, spec.secrets) if spec.secrets else outcome

    async def _probe_family(self, spec: HttpSpec, timeout_s: float) -> Outcome:
        begun_at = time.monotonic()
        stalled_s = self._stall_meter.stalled_s
        deadline = begun_at + time_budget_s(timeout_s)
        visits, verdict = await self._follow_redirects(spec, deadline)
        late = None
        if spec.time_s_max is not None and verdict.status is Status.UP:
            late = time_verdict(spec, time.monotonic() - begun_at)
            verdict = late or verdict
        failed = None if verdict.status is Status.UP else visits[-1]
        if failed is None:
            verdict = next((visit.warning for visit in visits if visit.warning is not None), verdict)
        timed_out = late is not None or visits[-1].timed_out
        if timed_out and self._stall_meter.invalidates_timeout(timeout_s, stalled_s):
            verdict = TOO_BUSY
        return Outcome(
            status=verdict.status,
            reason=verdict.reason,
            detail=verdict.detail,
            samples=self._samples(visits, time.monotonic() - begun_at),
            hops=_to_hops(spec, visits, failed),
        )

    async def _follow_redirects(self, spec: HttpSpec, deadline: float) -> tuple[list[HttpHop], Verdict]:
        """Returns the hops to the answer that decides, and what it says."""
        request = first_request(spec)
        visits: list[HttpHop] = []
        while True:
            visits.append(await self._hop_runner.run(spec, request, deadline))
            if spec.has_final_rules and visits[-1].verdict.status is Status.UP:
                visits[-1].verdict = await check_final_rules(spec, visits[-1], deadline, self._threads)
            if visits[-1].verdict.status is not Status.UP or not visits[-1].exchange.is_redirect:
                return visits, visits[-1].verdict
            step = next_hop(spec, visits)
            if not isinstance(step, HttpRequest):
                return visits, step
            request = step

    def _samples(self, visits: list[HttpHop], total_s: float) -> dict[str, float]:
        last = visits[-1]
        samples = dict(last.phases) if len(visits) == 1 else _sum_phases(visits)
        samples["total_s"] = total_s
        samples["redirects"] = len(visits) - 1
        if last.exchange.has_head:
            samples["status_code"] = last.exchange.status
            samples["header_bytes"] = last.exchange.header_bytes
            samples["body_bytes"] = last.exchange.body_bytes
        if last.exchange.body is not None and last.exchange.body.is_coded:
            samples["decoded_bytes"] = last.exchange.body.decoded_bytes
        if last.peer.leaf is not None:
            samples["tls_expires_in_s"] = last.peer.leaf.expires_at.timestamp() - self._clock()
        if last.peer.chain_expires_at is not None:
            samples["tls_chain_expires_in_s"] = last.peer.chain_expires_at.timestamp() - self._clock()
        return samples


async def check_final_rules(spec: HttpSpec, visit: HttpHop, deadline: float, threads: Executor) -> Verdict:
    """Returns the verdict on a good hop after the rules that come last: its versions, and what the body holds.

    Patterns run in `threads`: RE2 goes without the GIL, so that other checks go on beside the worst of them.
    """
    answer = visit.exchange
    if answer.is_redirect:
        return visit.verdict
    if spec.tls_version_min is not None and visit.request.url.scheme != "https":
        return tls_version_verdict(spec, None)
    plain = http_version_verdict(spec, answer)
    if plain is not None or answer.body is None:
        return plain or visit.verdict
    if not spec.patterns:
        flaw = answer.body.check_buffered()
        return visit.verdict if flaw is None else _down(*flaw)
    try:
        async with asyncio.timeout(deadline - time.monotonic()):
            flaw = await asyncio.get_running_loop().run_in_executor(threads, answer.body.check_buffered)
    except TimeoutError:
        return Verdict(Status.UNKNOWN, Reason.LATE_LOOP, "This prober did not get through the patterns in time.")
    return visit.verdict if flaw is None else _down(*flaw)


def next_hop(spec: HttpSpec, visits: list[HttpHop]) -> HttpRequest | Verdict:
    """Returns the request that the last answer sends us to, or why we do not go."""
    last = visits[-1]
    try:
        step = redirect_request(last.request, last.exchange.status, last.exchange.location or "", last.exchange.cookies)
    except ValueError as error:
        return _down(HttpReason.REDIRECT_INVALID, f"The server redirects to an address that {error}.")
    if step.url.is_address and not matches_family(spec.family, step.url.host):
        detail = f"The server redirects to {step.url.host}, which cannot be reached over IPv{spec.family}."
        return _down(HttpReason.REDIRECT_INVALID, detail)
    if (stray := _check_redirect_target(spec, visits, step)) is not None:
        return stray
    if any(step == visit.request for visit in visits):
        return _down(HttpReason.REDIRECT_LOOP, f"The server redirects to {step.url.redacted} again.")
    if len(visits) > spec.redirects_max:
        return _down(HttpReason.REDIRECTS_EXCEEDED, f"The server redirects more than {spec.redirects_max} times.")
    return step


def _check_redirect_target(spec: HttpSpec, visits: list[HttpHop], step: HttpRequest) -> Verdict | None:
    """Returns why a redirect leads too far from where the user wanted to go."""
    if spec.redirects_same_host and step.url.host not in (spec.parsed_url.host, visits[0].request.host):
        return _down(HttpReason.REDIRECT_OTHER_HOST, f"The server redirects to another host, {step.url.host}.")
    if step.body and not _is_same_server(visits[-1].request.url, step.url):
        detail = f"The server redirects the body to another origin, {step.url.redacted}, where it is not sent."
        return _down(HttpReason.REDIRECT_WITH_BODY, detail)
    return None


def _is_same_server(before: Url, then: Url) -> bool:
    """Tells whether a body that was sent to the one may be sent to the other: one origin, or its step up to TLS."""
    return then.origin == before.origin or (
        then.host == before.host and (before.scheme, then.scheme) == ("http", "https")
    )


def _to_hops(spec: HttpSpec, visits: list[HttpHop], failed: HttpHop | None) -> list[Hop]:
    """Returns the hops; the one that failed has the peer's first words."""
    begun_at = visits[0].begun_at
    if failed is None or not failed.first_bytes or (failed.exchange.binary_only and not failed.exchange.has_head):
        return [visit.to_hop(begun_at) for visit in visits]
    words = response_excerpt(failed.exchange, failed.first_bytes, failed.request, spec.secrets)
    return [visit.to_hop(begun_at, words if visit is failed else "") for visit in visits]


def _down(reason: HttpReason, detail: str) -> Verdict:
    return Verdict(Status.DOWN, reason, detail)


def _sum_phases(visits: list[HttpHop]) -> dict[str, float]:
    seen = {name for visit in visits for name in visit.phases}
    return {name: sum(visit.phases.get(name, 0.0) for visit in visits) for name in _PHASES if name in seen}
