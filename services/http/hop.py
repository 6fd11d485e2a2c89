"""One hop: resolve, connect, TLS, request and answer, all under one deadline. Returns what was seen, judged."""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import msgspec

from libs.model.fields.proxy import Proxy
from libs.model.outcome import Fact, Hop, Status
from libs.net.egress import EgressPolicy
from libs.net.exchange import End, Phase
from libs.net.resolver import ADDRESS_FAMILIES, Resolver
from libs.net.sockets import SocketAddress, literal_address
from libs.net.tls.peer import TlsPeer, inspect_peer, session_facts
from libs.net.tls.sessions import TlsClientCertificate, TlsContexts, TlsSession
from libs.net.verdict import Verdict
from libs.net.wire import Wire
from services.http.client.exchange import HttpExchange
from services.http.client.request import HttpRequest
from services.http.proxy_route import ProxyRoute, find_route, judge_route, needs_resolver
from services.http.spec import HttpReason, HttpSpec
from services.http.verdict import NO_PEER, UNFINISHED, certificate_warning, judge

_PHASE_ORDER = (Phase.CONNECT, Phase.PROXY, Phase.TLS, Phase.FIRST_BYTE, Phase.TRANSFER)
# What is offered by ALPN, in the order of our preference, for each value of http_version.
ALPN_PROTOCOLS = {"any": ("h2", "http/1.1"), "1.1": ("http/1.1",), "2": ("h2",)}
_PHASE_NAMES = {phase: f"{phase}_s" for phase in _PHASE_ORDER}


@dataclass(slots=True)
class HttpHop:
    """One hop as it was seen. The answer is empty when nobody answered."""

    request: HttpRequest
    exchange: HttpExchange
    verdict: Verdict = UNFINISHED
    warning: Verdict | None = None  # what a good answer does not make good
    begun_at: float = 0.0
    first_bytes: bytes = b""  # what the peer said first
    timed_out: bool = False
    overrun_s: float = 0.0  # how late the deadline was noticed
    address: SocketAddress | None = None
    route: ProxyRoute | None = None  # through a proxy
    phases: dict[str, float] = field(default_factory=dict)
    peer: TlsPeer = NO_PEER
    facts: dict[str, Fact] = field(default_factory=dict)

    def to_hop(self, begun_at: float, said: str = "") -> Hop:
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
class HopRunner:
    """Makes visits with what they all share in this process."""

    loop: asyncio.AbstractEventLoop
    resolver: Resolver
    tls_contexts: TlsContexts
    egress: EgressPolicy
    clock: Callable[[], float] = time.time

    async def run(self, spec: HttpSpec, request: HttpRequest, deadline: float) -> HttpHop:
        """Makes one request to one address; `deadline` is an instant of time.monotonic()."""
        begun_at = time.monotonic()
        answer = HttpExchange(spec, request)
        if spec.parsed_proxy is not None:
            return await self._run_through_proxy(spec, spec.parsed_proxy, HttpHop(request, answer), deadline)
        fixed = spec.fixed_address(request.url)
        if fixed is not None:
            seen = HttpHop(request, answer, begun_at=begun_at, address=literal_address(fixed, request.url.port))
            return await self._run_with_fallback(spec, seen, begun_at, deadline)
        family = ADDRESS_FAMILIES.get(spec.family)
        found = await self.resolver.resolve(request.url.host, request.url.port, deadline, family)
        resolved_at = time.monotonic()
        seen = HttpHop(request, answer, begun_at=begun_at, phases={"resolve_s": resolved_at - begun_at})
        if isinstance(found, Verdict):
            seen.verdict = found
            if family is not None:
                seen.facts["ip_protocol"] = int(spec.family)
            return seen
        seen.address = found[0]
        return await self._run_with_fallback(spec, seen, resolved_at, deadline)

    async def _run_through_proxy(self, spec: HttpSpec, proxy: Proxy, seen: HttpHop, deadline: float) -> HttpHop:
        begun_at = time.monotonic()
        seen.facts["proxy"] = proxy.authority
        way = await find_route(spec, proxy, seen.request, resolver=self.resolver, egress=self.egress, deadline=deadline)
        resolved_at = time.monotonic()
        if needs_resolver(spec, proxy, seen.request.url):
            seen.phases["resolve_s"] = resolved_at - begun_at
        if isinstance(way, Verdict):
            seen.verdict = way
            return seen
        seen.route, seen.address = way, way.address
        if way.target is not None:
            seen.facts["proxy_target"] = str(way.target)
        return await self._run_with_fallback(spec, seen, resolved_at, deadline)

    async def _run_with_fallback(self, spec: HttpSpec, seen: HttpHop, begun_at: float, deadline: float) -> HttpHop:
        """Makes the visit; over HTTP/1.1 once more where the server insists on that (RFC 9113, HTTP_1_1_REQUIRED)."""
        await self._connect(spec, seen, begun_at, deadline)
        if seen.exchange.wants_http1 and spec.http_version == "any":
            seen.exchange, seen.warning = HttpExchange(spec, seen.request), None
            seen.facts.pop("tls_alpn", None)
            older = msgspec.structs.replace(spec, http_version="1.1")
            await self._connect(older, seen, time.monotonic(), deadline)
        return seen

    async def _connect(self, spec: HttpSpec, seen: HttpHop, begun_at: float, deadline: float) -> None:
        seen.address = seen.address or literal_address(seen.request.url.host, seen.request.url.port)
        try:
            session = self._tls_session(spec, seen.request, verify=spec.tls_verify)
        except ValueError as error:
            seen.verdict = Verdict(Status.UNKNOWN, HttpReason.TLS_CLIENT_CERTIFICATE_UNUSABLE, f"In the spec, {error}.")
            return
        wire = await self._connect_once(spec, seen, session, begun_at, deadline)
        if wire.session is None or not _is_certificate_tolerated(spec, seen.verdict, wire):
            return
        seen.warning = seen.verdict._replace(status=Status.DEGRADED)
        lenient = self._tls_session(spec, seen.request, verify=False)
        await self._connect_once(spec, seen, lenient, time.monotonic(), deadline)

    async def _connect_once(
        self, spec: HttpSpec, seen: HttpHop, session: TlsSession | None, begun_at: float, deadline: float
    ) -> Wire:
        """Makes one connection and notes what it showed. A second one adds to what the first has seen."""
        if seen.address is None:
            raise RuntimeError("a visit needs an address")
        seen.facts["ip_protocol"] = 6 if seen.address.family == socket.AF_INET6 else 4
        tunnel = None if seen.route is None else seen.route.new_tunnel()
        wire = Wire(self.loop, seen.exchange, seen.address, session, egress=self.egress, tunnel=tunnel)
        seen.exchange.wire = wire
        await wire.run(deadline)
        if wire.end is End.CLOSED and wire.phase is Phase.TRANSFER:
            seen.exchange.on_closed()
        seen.timed_out = wire.end is End.TIMEOUT and not seen.exchange.decided
        seen.overrun_s = wire.ended_at - deadline
        if session is not None:
            self._inspect_tls(spec, seen, session, wire)
        # Beside its certificates, the bytes of a handshake say nothing to people.
        seen.first_bytes = b"" if seen.peer.sent_chain and wire.phase is Phase.TLS else wire.first_bytes
        seen.verdict = self._judge(spec, seen, wire)
        seen.exchange.release()
        _record_phases(seen.phases, wire, begun_at)
        seen.facts = seen.exchange.facts | seen.facts
        return wire

    def _judge(self, spec: HttpSpec, seen: HttpHop, wire: Wire) -> Verdict:
        if seen.route is not None:
            refusal = None if wire.tunnel is None else wire.tunnel.refusal
            explained = judge_route(seen.route, wire, refusal, seen.exchange, spec.secrets)
            if explained is not None:
                return explained
        return judge(spec, wire, seen.exchange, seen.peer, has_roots=self.tls_contexts.has_roots)

    def _inspect_tls(self, spec: HttpSpec, seen: HttpHop, session: TlsSession, wire: Wire) -> None:
        if seen.warning is not None:
            failed = session.classify_error(wire.error) if isinstance(wire.error, ssl.SSLError) else None
            seen.peer = replace(seen.peer, failure=failed)
            seen.facts |= session_facts(session)
            return
        now = datetime.fromtimestamp(self.clock(), UTC)
        seen.peer = inspect_peer(
            session, self.tls_contexts, now, expiry_fraction=spec.tls_expiry_fraction, error=wire.error
        )
        seen.facts |= seen.peer.facts
        seen.warning = certificate_warning(spec, seen.peer)

    def _tls_session(self, spec: HttpSpec, request: HttpRequest, *, verify: bool) -> TlsSession | None:
        if request.url.scheme != "https":
            return None
        identity = None
        if spec.client_certificate is not None and request.url.origin == spec.parsed_url.origin:
            identity = TlsClientCertificate(spec.client_certificate.certificate_pem, spec.client_certificate.key_pem)
        return self.tls_contexts.session(
            request.server_name,
            verify=verify,
            identity=identity,
            alpn=ALPN_PROTOCOLS[spec.http_version],
            version_min=spec.tls_version_min,
        )


def _is_certificate_tolerated(spec: HttpSpec, verdict: Verdict, wire: Wire) -> bool:
    """Tells whether a refused certificate is but a warning.

    The handshake that refused it is over: OpenSSL alone knows all the rules, and Python lets it judge or go on, not
    both. So the request goes over a second connection, which takes any certificate.
    """
    refused = isinstance(wire.error, ssl.SSLCertVerificationError) and verdict.status is Status.DOWN
    return refused and spec.tls_findings == "degraded"


def _record_phases(phases: dict[str, float], wire: Wire, begun_at: float) -> None:
    """Notes how long each phase took; the one in which it ended lasted until the end. An earlier wire's are forgotten."""
    for name in _PHASE_NAMES.values():
        phases.pop(name, None)
    marks = wire.marks
    for phase in _PHASE_ORDER:
        if (phase is Phase.TLS and wire.session is None) or (phase is Phase.PROXY and wire.tunnel is None):
            continue
        ended_at = marks.get(phase, wire.ended_at)
        phases[_PHASE_NAMES[phase]] = ended_at - begun_at
        begun_at = ended_at
        if phase is wire.phase:
            return
