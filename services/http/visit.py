"""One hop: resolve, connect, TLS, request and answer, all under one deadline. Returns what was seen, judged."""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import msgspec

from libs.model.outcome import Fact, Hop, Status
from libs.model.proxy import Proxy
from libs.net.dial import Address, literal
from libs.net.egress import Egress
from libs.net.fault import Fault
from libs.net.peer import Peer, look, session_facts
from libs.net.resolve import FAMILIES, Resolver
from libs.net.talk import End, Phase
from libs.net.tls import Identity, Session, Trust
from libs.net.wire import Wire
from services.http.answer import Answer
from services.http.request import Request
from services.http.spec import HttpReason, HttpSpec
from services.http.verdict import NO_PEER, UNSEEN, Verdict, concern, judge
from services.http.way import Way, find_way, judge_way, looks_up

_ORDER = (Phase.CONNECT, Phase.PROXY, Phase.TLS, Phase.FIRST_BYTE, Phase.TRANSFER)
# What is offered by ALPN, in the order of our preference, for each value of http_version.
OFFERS = {"any": ("h2", "http/1.1"), "1.1": ("http/1.1",), "2": ("h2",)}
_NAMES = {phase: f"{phase}_s" for phase in _ORDER}


@dataclass(slots=True)
class Visit:
    """One hop as it was seen. The answer is empty when nobody answered."""

    request: Request
    answer: Answer
    verdict: Verdict = UNSEEN
    concern: Verdict | None = None  # what a good answer does not make good
    begun_at: float = 0.0
    first: bytes = b""  # what the peer said first
    timed_out: bool = False
    overrun_s: float = 0.0  # how late the deadline was noticed
    address: Address | None = None
    way: Way | None = None  # through a proxy
    phases: dict[str, float] = field(default_factory=dict)
    peer: Peer = NO_PEER
    facts: dict[str, Fact] = field(default_factory=dict)

    def hop(self, begun_at: float, said: str = "") -> Hop:
        """Returns the hop of a chain that began at `begun_at`."""
        return Hop(
            target=self.request.url.redacted,
            address=None if self.address is None else self.address.host,
            begun_s=round(self.begun_at - begun_at, 6) if self.begun_at > begun_at else 0.0,
            phases=self.phases,
            facts=self.facts,
            said=said,
        )


@dataclass(frozen=True, slots=True)
class Visitor:
    """Makes visits with what they all share in this process."""

    loop: asyncio.AbstractEventLoop
    resolver: Resolver
    trust: Trust
    egress: Egress
    clock: Callable[[], float] = time.time

    async def visit(self, spec: HttpSpec, request: Request, deadline: float) -> Visit:
        """Makes one request to one address; `deadline` is an instant of time.monotonic()."""
        begun_at = time.monotonic()
        answer = Answer(spec, request)
        if spec.via is not None:
            return await self._visit_through(spec, spec.via, Visit(request, answer), deadline)
        fixed = spec.address_of(request.url)
        if fixed is not None:
            seen = Visit(request, answer, begun_at=begun_at, address=literal(fixed, request.url.port))
            return await self._call(spec, seen, begun_at, deadline)
        family = FAMILIES.get(spec.family)
        found = await self.resolver.resolve(request.url.host, request.url.port, deadline, family)
        resolved_at = time.monotonic()
        seen = Visit(request, answer, begun_at=begun_at, phases={"resolve_s": resolved_at - begun_at})
        if isinstance(found, Fault):
            seen.verdict = found
            if family is not None:
                seen.facts["ip_protocol"] = int(spec.family)
            return seen
        seen.address = found[0]
        return await self._call(spec, seen, resolved_at, deadline)

    async def _visit_through(self, spec: HttpSpec, proxy: Proxy, seen: Visit, deadline: float) -> Visit:
        begun_at = time.monotonic()
        seen.facts["proxy"] = proxy.authority
        way = await find_way(spec, proxy, seen.request, resolver=self.resolver, egress=self.egress, deadline=deadline)
        resolved_at = time.monotonic()
        if looks_up(spec, proxy, seen.request.url):
            seen.phases["resolve_s"] = resolved_at - begun_at
        if isinstance(way, Fault):
            seen.verdict = way
            return seen
        seen.way, seen.address = way, way.address
        if way.goal is not None:
            seen.facts["proxy_target"] = str(way.goal)
        return await self._call(spec, seen, resolved_at, deadline)

    async def _call(self, spec: HttpSpec, seen: Visit, begun_at: float, deadline: float) -> Visit:
        """Makes the visit; over HTTP/1.1 once more where the server insists on that (RFC 9113, HTTP_1_1_REQUIRED)."""
        await self._connect(spec, seen, begun_at, deadline)
        if seen.answer.wants_http1 and spec.http_version == "any":
            seen.answer, seen.concern = Answer(spec, seen.request), None
            seen.facts.pop("tls_alpn", None)
            older = msgspec.structs.replace(spec, http_version="1.1")
            await self._connect(older, seen, time.monotonic(), deadline)
        return seen

    async def _connect(self, spec: HttpSpec, seen: Visit, begun_at: float, deadline: float) -> None:
        seen.address = seen.address or literal(seen.request.url.host, seen.request.url.port)
        try:
            session = self._session(spec, seen.request, verify=spec.tls_verify)
        except ValueError as error:
            seen.verdict = Verdict(Status.UNKNOWN, HttpReason.TLS_CLIENT_CERTIFICATE_UNUSABLE, f"In the spec, {error}.")
            return
        wire = await self._talk(spec, seen, session, begun_at, deadline)
        if wire.session is None or not _is_forgiven(spec, seen.verdict, wire):
            return
        seen.concern = seen.verdict._replace(status=Status.DEGRADED)
        lenient = self._session(spec, seen.request, verify=False)
        await self._talk(spec, seen, lenient, time.monotonic(), deadline)

    async def _talk(
        self, spec: HttpSpec, seen: Visit, session: Session | None, begun_at: float, deadline: float
    ) -> Wire:
        """Makes one connection and notes what it showed. A second one adds to what the first has seen."""
        if seen.address is None:
            raise RuntimeError("a visit needs an address")
        seen.facts["ip_protocol"] = 6 if seen.address.family == socket.AF_INET6 else 4
        tunnel = None if seen.way is None else seen.way.tunnel()
        wire = Wire(self.loop, seen.answer, seen.address, session, egress=self.egress, tunnel=tunnel)
        seen.answer.wire = wire
        await wire.run(deadline)
        if wire.end is End.CLOSED and wire.phase is Phase.TRANSFER:
            seen.answer.closed()
        seen.timed_out = wire.end is End.TIMEOUT and not seen.answer.enough
        seen.overrun_s = wire.ended_at - deadline
        if session is not None:
            self._look(spec, seen, session, wire)
        # Beside its certificates, the bytes of a handshake say nothing to people.
        seen.first = b"" if seen.peer.sent and wire.phase is Phase.TLS else wire.first
        seen.verdict = self._judge(spec, seen, wire)
        seen.answer.release()
        _note_phases(seen.phases, wire, begun_at)
        seen.facts = seen.answer.facts | seen.facts
        return wire

    def _judge(self, spec: HttpSpec, seen: Visit, wire: Wire) -> Verdict:
        if seen.way is not None:
            refusal = None if wire.tunnel is None else wire.tunnel.refusal
            explained = judge_way(seen.way, wire, refusal, seen.answer, spec.secrets)
            if explained is not None:
                return explained
        return judge(spec, wire, seen.answer, seen.peer, has_roots=self.trust.has_roots)

    def _look(self, spec: HttpSpec, seen: Visit, session: Session, wire: Wire) -> None:
        if seen.concern is not None:
            failed = session.failure(wire.error) if isinstance(wire.error, ssl.SSLError) else None
            seen.peer = replace(seen.peer, failure=failed)
            seen.facts |= session_facts(session)
            return
        now = datetime.fromtimestamp(self.clock(), UTC)
        seen.peer = look(session, self.trust, now, expiry_fraction=spec.tls_expiry_fraction, error=wire.error)
        seen.facts |= seen.peer.facts
        seen.concern = concern(spec, seen.peer)

    def _session(self, spec: HttpSpec, request: Request, *, verify: bool) -> Session | None:
        if request.url.scheme != "https":
            return None
        identity = None
        if spec.client_certificate is not None and request.url.origin == spec.location.origin:
            identity = Identity(spec.client_certificate.certificate_pem, spec.client_certificate.key_pem)
        return self.trust.session(
            request.server_name,
            verify=verify,
            identity=identity,
            alpn=OFFERS[spec.http_version],
            version_min=spec.tls_version_min,
        )


def _is_forgiven(spec: HttpSpec, verdict: Verdict, wire: Wire) -> bool:
    """Tells whether a refused certificate is but a warning.

    The handshake that refused it is over: OpenSSL alone knows all the rules, and Python lets it judge or go on, not
    both. So the request goes over a second connection, which takes any certificate.
    """
    refused = isinstance(wire.error, ssl.SSLCertVerificationError) and verdict.status is Status.DOWN
    return refused and spec.tls_findings == "degraded"


def _note_phases(phases: dict[str, float], wire: Wire, begun_at: float) -> None:
    """Notes how long each phase took; the one in which it ended lasted until the end. An earlier wire's are forgotten."""
    for name in _NAMES.values():
        phases.pop(name, None)
    marks = wire.marks
    for phase in _ORDER:
        if (phase is Phase.TLS and wire.session is None) or (phase is Phase.PROXY and wire.tunnel is None):
            continue
        ended_at = marks.get(phase, wire.ended_at)
        phases[_NAMES[phase]] = ended_at - begun_at
        begun_at = ended_at
        if phase is wire.phase:
            return
