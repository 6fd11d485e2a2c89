"""Kind `http`: follows a request to its answer and says what it means."""

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from libs.model.family import fits
from libs.model.outcome import Hop, Outcome, Reason, Status
from libs.model.probe import patience_s
from libs.model.url import Url
from libs.net.egress import Egress
from libs.net.families import over_families
from libs.net.resolve import Resolver
from libs.net.stall import TOO_BUSY, StallMeter
from libs.net.tls import Trust
from services.http.evidence import said
from services.http.request import Request, first_request, next_request
from services.http.shown import redacted
from services.http.spec import HttpReason, HttpSpec
from services.http.verdict import Verdict, too_late, too_old, too_plain
from services.http.visit import OFFERS, Visit, Visitor

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
        egress: Egress | None = None,
    ) -> None:
        self._clock = clock
        self._nameservers = nameservers
        self._ca_file = ca_file
        self._egress = egress or Egress()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        resolver = await self._stack.enter_async_context(Resolver(self._nameservers))
        # Of its own, so that patterns hold up nothing but patterns. A check whose time is up takes its work back.
        self._threads = ThreadPoolExecutor(_PATTERN_THREADS, "patterns")
        self._stack.callback(self._threads.shutdown, wait=False, cancel_futures=True)
        self._meter = await self._stack.enter_async_context(StallMeter(loop))
        self._visitor = Visitor(loop, resolver, Trust(self._ca_file, alpn=OFFERS["any"]), self._egress, self._clock)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def __call__(self, spec: HttpSpec, timeout_s: float) -> Outcome:
        outcome = await over_families(spec, spec.family, lambda each: self._one(each, timeout_s))
        return redacted(outcome, spec.secrets) if spec.secrets else outcome

    async def _one(self, spec: HttpSpec, timeout_s: float) -> Outcome:
        begun_at = time.monotonic()
        stalled_s = self._meter.stalled_s
        deadline = begun_at + patience_s(timeout_s)
        visits, verdict = await self._follow(spec, deadline)
        late = None
        if spec.time_s_max is not None and verdict.status is Status.UP:
            late = too_late(spec, time.monotonic() - begun_at)
            verdict = late or verdict
        failed = None if verdict.status is Status.UP else visits[-1]
        if failed is None:
            verdict = next((visit.concern for visit in visits if visit.concern is not None), verdict)
        timed_out = late is not None or visits[-1].timed_out
        if timed_out and self._meter.spoils(timeout_s, stalled_s):
            verdict = TOO_BUSY
        return Outcome(
            status=verdict.status,
            reason=verdict.reason,
            detail=verdict.detail,
            samples=self._samples(visits, time.monotonic() - begun_at),
            hops=_hops(spec, visits, failed),
        )

    async def _follow(self, spec: HttpSpec, deadline: float) -> tuple[list[Visit], Verdict]:
        """Returns the hops to the answer that decides, and what it says."""
        request = first_request(spec)
        visits: list[Visit] = []
        while True:
            visits.append(await self._visitor.visit(spec, request, deadline))
            if spec.examines and visits[-1].verdict.status is Status.UP:
                visits[-1].verdict = await examined(spec, visits[-1], deadline, self._threads)
            if visits[-1].verdict.status is not Status.UP or not visits[-1].answer.redirects:
                return visits, visits[-1].verdict
            step = next_step(spec, visits)
            if not isinstance(step, Request):
                return visits, step
            request = step

    def _samples(self, visits: list[Visit], total_s: float) -> dict[str, float]:
        last = visits[-1]
        samples = dict(last.phases) if len(visits) == 1 else _sums(visits)
        samples["total_s"] = total_s
        samples["redirects"] = len(visits) - 1
        if last.answer.headed:
            samples["status_code"] = last.answer.status
            samples["header_bytes"] = last.answer.header_bytes
            samples["body_bytes"] = last.answer.body_bytes
        if last.answer.body is not None and last.answer.body.coded:
            samples["decoded_bytes"] = last.answer.body.decoded_bytes
        if last.peer.leaf is not None:
            samples["tls_expires_in_s"] = last.peer.leaf.expires_at.timestamp() - self._clock()
        if last.peer.chain_expires_at is not None:
            samples["tls_chain_expires_in_s"] = last.peer.chain_expires_at.timestamp() - self._clock()
        return samples


async def examined(spec: HttpSpec, visit: Visit, deadline: float, threads: Executor) -> Verdict:
    """Returns the verdict on a good hop after the rules that come last: its versions, and what the body holds.

    Patterns run in `threads`: RE2 goes without the GIL, so that other checks go on beside the worst of them.
    """
    answer = visit.answer
    if answer.redirects:
        return visit.verdict
    if spec.tls_version_min is not None and visit.request.url.scheme != "https":
        return too_old(spec, None)
    plain = too_plain(spec, answer)
    if plain is not None or answer.body is None:
        return plain or visit.verdict
    if not spec.patterns:
        flaw = answer.body.examine()
        return visit.verdict if flaw is None else _refused(*flaw)
    try:
        async with asyncio.timeout(deadline - time.monotonic()):
            flaw = await asyncio.get_running_loop().run_in_executor(threads, answer.body.examine)
    except TimeoutError:
        return Verdict(Status.UNKNOWN, Reason.LATE_LOOP, "This prober did not get through the patterns in time.")
    return visit.verdict if flaw is None else _refused(*flaw)


def next_step(spec: HttpSpec, visits: list[Visit]) -> Request | Verdict:
    """Returns the request that the last answer sends us to, or why we do not go."""
    last = visits[-1]
    try:
        step = next_request(last.request, last.answer.status, last.answer.location or "", last.answer.cookies)
    except ValueError as error:
        return _refused(HttpReason.REDIRECT_INVALID, f"The server redirects to an address that {error}.")
    if step.url.is_address and not fits(spec.family, step.url.host):
        detail = f"The server redirects to {step.url.host}, which cannot be reached over IPv{spec.family}."
        return _refused(HttpReason.REDIRECT_INVALID, detail)
    if (stray := _stray(spec, visits, step)) is not None:
        return stray
    if any(step == visit.request for visit in visits):
        return _refused(HttpReason.REDIRECT_LOOP, f"The server redirects to {step.url.redacted} again.")
    if len(visits) > spec.redirects_max:
        return _refused(HttpReason.REDIRECTS_EXCEEDED, f"The server redirects more than {spec.redirects_max} times.")
    return step


def _stray(spec: HttpSpec, visits: list[Visit], step: Request) -> Verdict | None:
    """Returns why a redirect leads too far from where the user wanted to go."""
    if spec.redirects_same_host and step.url.host not in (spec.location.host, visits[0].request.host):
        return _refused(HttpReason.REDIRECT_OTHER_HOST, f"The server redirects to another host, {step.url.host}.")
    if step.body and not _is_same_server(visits[-1].request.url, step.url):
        detail = f"The server redirects the body to another origin, {step.url.redacted}, where it is not sent."
        return _refused(HttpReason.REDIRECT_WITH_BODY, detail)
    return None


def _is_same_server(before: Url, then: Url) -> bool:
    """Tells whether a body that was sent to the one may be sent to the other: one origin, or its step up to TLS."""
    return then.origin == before.origin or (
        then.host == before.host and (before.scheme, then.scheme) == ("http", "https")
    )


def _hops(spec: HttpSpec, visits: list[Visit], failed: Visit | None) -> list[Hop]:
    """Returns the hops; the one that failed has the peer's first words."""
    begun_at = visits[0].begun_at
    if failed is None or not failed.first or (failed.answer.wordless and not failed.answer.headed):
        return [visit.hop(begun_at) for visit in visits]
    words = said(failed.answer, failed.first, failed.request, spec.secrets)
    return [visit.hop(begun_at, words if visit is failed else "") for visit in visits]


def _refused(reason: HttpReason, detail: str) -> Verdict:
    return Verdict(Status.DOWN, reason, detail)


def _sums(visits: list[Visit]) -> dict[str, float]:
    seen = {name for visit in visits for name in visit.phases}
    return {name: sum(visit.phases.get(name, 0.0) for visit in visits) for name in _PHASES if name in seen}
