"""Probe of kind `http`: follows redirects and returns the outcome."""

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
    """Probe of kind http: one resolver and one set of TLS contexts, a fresh connection for every hop."""

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
        # A pool of its own, so that slow patterns delay only patterns. Timed-out checks cancel their queued work.
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
        hops, verdict = await self._follow_redirects(spec, deadline)
        late = None
        if spec.time_s_max is not None and verdict.status is Status.UP:
            late = time_verdict(spec, time.monotonic() - begun_at)
            verdict = late or verdict
        failed = None if verdict.status is Status.UP else hops[-1]
        if failed is None:
            verdict = next((hop.warning for hop in hops if hop.warning is not None), verdict)
        timed_out = late is not None or hops[-1].timed_out
        if timed_out and self._stall_meter.invalidates_timeout(timeout_s, stalled_s):
            verdict = TOO_BUSY
        return Outcome(
            status=verdict.status,
            reason=verdict.reason,
            detail=verdict.detail,
            samples=self._samples(hops, time.monotonic() - begun_at),
            hops=_to_hops(spec, hops, failed),
        )

    async def _follow_redirects(self, spec: HttpSpec, deadline: float) -> tuple[list[HttpHop], Verdict]:
        """Returns the hops up to the deciding response, and the verdict."""
        request = first_request(spec)
        hops: list[HttpHop] = []
        while True:
            hops.append(await self._hop_runner.run(spec, request, deadline))
            if spec.has_final_rules and hops[-1].verdict.status is Status.UP:
                hops[-1].verdict = await check_final_rules(spec, hops[-1], deadline, self._threads)
            if hops[-1].verdict.status is not Status.UP or not hops[-1].exchange.is_redirect:
                return hops, hops[-1].verdict
            following = next_hop(spec, hops)
            if not isinstance(following, HttpRequest):
                return hops, following
            request = following

    def _samples(self, hops: list[HttpHop], total_s: float) -> dict[str, float]:
        last = hops[-1]
        samples = dict(last.phases) if len(hops) == 1 else _sum_phases(hops)
        samples["total_s"] = total_s
        samples["redirects"] = len(hops) - 1
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


async def check_final_rules(spec: HttpSpec, hop: HttpHop, deadline: float, threads: Executor) -> Verdict:
    """Returns the verdict on a good hop after the remaining rules: protocol versions and the buffered body.

    Patterns run in `threads`: RE2 releases the GIL, so even the slowest pattern does not block other checks.
    """
    exchange = hop.exchange
    if exchange.is_redirect:
        return hop.verdict
    if spec.tls_version_min is not None and hop.request.url.scheme != "https":
        return tls_version_verdict(spec, None)
    plain = http_version_verdict(spec, exchange)
    if plain is not None or exchange.body is None:
        return plain or hop.verdict
    if not spec.patterns:
        flaw = exchange.body.check_buffered()
        return hop.verdict if flaw is None else _down(*flaw)
    try:
        async with asyncio.timeout(deadline - time.monotonic()):
            flaw = await asyncio.get_running_loop().run_in_executor(threads, exchange.body.check_buffered)
    except TimeoutError:
        return Verdict(Status.UNKNOWN, Reason.LATE_LOOP, "This prober did not finish the patterns in time.")
    return hop.verdict if flaw is None else _down(*flaw)


def next_hop(spec: HttpSpec, hops: list[HttpHop]) -> HttpRequest | Verdict:
    """Returns the request that follows a redirect, or the verdict that forbids it."""
    last = hops[-1]
    try:
        following = redirect_request(
            last.request, last.exchange.status, last.exchange.location or "", last.exchange.cookies
        )
    except ValueError as error:
        return _down(HttpReason.REDIRECT_INVALID, f"The server redirects to an address that {error}.")
    if following.url.is_address and not matches_family(spec.family, following.url.host):
        detail = f"The server redirects to {following.url.host}, which cannot be reached over IPv{spec.family}."
        return _down(HttpReason.REDIRECT_INVALID, detail)
    if (stray := _check_redirect_target(spec, hops, following)) is not None:
        return stray
    if any(following == hop.request for hop in hops):
        return _down(HttpReason.REDIRECT_LOOP, f"The server redirects to {following.url.redacted} again.")
    if len(hops) > spec.redirects_max:
        return _down(HttpReason.REDIRECTS_EXCEEDED, f"The server redirects more than {spec.redirects_max} times.")
    return following


def _check_redirect_target(spec: HttpSpec, hops: list[HttpHop], following: HttpRequest) -> Verdict | None:
    """Returns a verdict if the redirect goes to a host that the spec does not permit."""
    if spec.redirects_same_host and following.url.host not in (spec.parsed_url.host, hops[0].request.host):
        return _down(HttpReason.REDIRECT_OTHER_HOST, f"The server redirects to another host, {following.url.host}.")
    if following.body and not _is_same_server(hops[-1].request.url, following.url):
        detail = f"The server redirects the body to another origin, {following.url.redacted}, where it is not sent."
        return _down(HttpReason.REDIRECT_WITH_BODY, detail)
    return None


def _is_same_server(before: Url, then: Url) -> bool:
    """Returns whether the body may be sent again: same origin, or an upgrade to https on the same host."""
    return then.origin == before.origin or (
        then.host == before.host and (before.scheme, then.scheme) == ("http", "https")
    )


def _to_hops(spec: HttpSpec, hops: list[HttpHop], failed: HttpHop | None) -> list[Hop]:
    """Returns the hops; the failed one with an excerpt of the response."""
    begun_at = hops[0].begun_at
    if failed is None or not failed.first_bytes or (failed.exchange.binary_only and not failed.exchange.has_head):
        return [hop.to_hop(begun_at) for hop in hops]
    excerpt = response_excerpt(failed.exchange, failed.first_bytes, failed.request, spec.secrets)
    return [hop.to_hop(begun_at, excerpt if hop is failed else "") for hop in hops]


def _down(reason: HttpReason, detail: str) -> Verdict:
    return Verdict(Status.DOWN, reason, detail)


def _sum_phases(hops: list[HttpHop]) -> dict[str, float]:
    seen = {name for hop in hops for name in hop.phases}
    return {name: sum(hop.phases.get(name, 0.0) for hop in hops) for name in _PHASES if name in seen}
