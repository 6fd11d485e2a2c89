"""One hop of a check: resolve, connect, TLS, request and response, under one deadline."""

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
# ALPN protocols to offer, in order of preference, for each value of http_version.
ALPN_PROTOCOLS = {"any": ("h2", "http/1.1"), "1.1": ("http/1.1",), "2": ("h2",)}
_PHASE_NAMES = {phase: f"{phase}_s" for phase in _PHASE_ORDER}


@dataclass(slots=True)
class HttpHop:
    """State and verdict of one hop. The exchange is empty if there was no response."""

    request: HttpRequest
    exchange: HttpExchange
    verdict: Verdict = UNFINISHED
    warning: Verdict | None = None  # reported even if the response is good
    begun_at: float = 0.0
    first_bytes: bytes = b""  # start of the response
    timed_out: bool = False
    address: SocketAddress | None = None
    route: ProxyRoute | None = None  # set if a proxy is used
    phases: dict[str, float] = field(default_factory=dict)
    peer: TlsPeer = NO_PEER
    facts: dict[str, Fact] = field(default_factory=dict)

    def to_hop(self, begun_at: float, said: str = "") -> Hop:
        """Returns the model's Hop, in a chain that began at `begun_at`."""
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
    """Runs hops with the resources shared in this process."""

    loop: asyncio.AbstractEventLoop
    resolver: Resolver
    tls_contexts: TlsContexts
    egress: EgressPolicy
    clock: Callable[[], float] = time.time

    async def run(self, spec: HttpSpec, request: HttpRequest, deadline: float) -> HttpHop:
        """Sends one request to one address; `deadline` is an instant of time.monotonic()."""
        begun_at = time.monotonic()
        exchange = HttpExchange(spec, request)
        if spec.parsed_proxy is not None:
            return await self._run_through_proxy(spec, spec.parsed_proxy, HttpHop(request, exchange), deadline)
        fixed = spec.fixed_address(request.url)
        if fixed is not None:
            hop = HttpHop(request, exchange, begun_at=begun_at, address=literal_address(fixed, request.url.port))
            return await self._run_with_fallback(spec, hop, begun_at, deadline)
        family = ADDRESS_FAMILIES.get(spec.family)
        found = await self.resolver.resolve(request.url.host, request.url.port, deadline, family)
        resolved_at = time.monotonic()
        hop = HttpHop(request, exchange, begun_at=begun_at, phases={"resolve_s": resolved_at - begun_at})
        if isinstance(found, Verdict):
            hop.verdict = found
            if family is not None:
                hop.facts["ip_protocol"] = int(spec.family)
            return hop
        hop.address = found[0]
        return await self._run_with_fallback(spec, hop, resolved_at, deadline)

    async def _run_through_proxy(self, spec: HttpSpec, proxy: Proxy, hop: HttpHop, deadline: float) -> HttpHop:
        begun_at = time.monotonic()
        hop.facts["proxy"] = proxy.authority
        route = await find_route(
            spec, proxy, hop.request, resolver=self.resolver, egress=self.egress, deadline=deadline
        )
        resolved_at = time.monotonic()
        if needs_resolver(spec, proxy, hop.request.url):
            hop.phases["resolve_s"] = resolved_at - begun_at
        if isinstance(route, Verdict):
            hop.verdict = route
            return hop
        hop.route, hop.address = route, route.address
        if route.target is not None:
            hop.facts["proxy_target"] = str(route.target)
        return await self._run_with_fallback(spec, hop, resolved_at, deadline)

    async def _run_with_fallback(self, spec: HttpSpec, hop: HttpHop, begun_at: float, deadline: float) -> HttpHop:
        """Runs the hop, and once more over HTTP/1.1 if the server requires it (RFC 9113, HTTP_1_1_REQUIRED)."""
        await self._connect(spec, hop, begun_at, deadline)
        if hop.exchange.wants_http1 and spec.http_version == "any":
            hop.exchange, hop.warning = HttpExchange(spec, hop.request), None
            hop.facts.pop("tls_alpn", None)
            older = msgspec.structs.replace(spec, http_version="1.1")
            await self._connect(older, hop, time.monotonic(), deadline)
        return hop

    async def _connect(self, spec: HttpSpec, hop: HttpHop, begun_at: float, deadline: float) -> None:
        hop.address = hop.address or literal_address(hop.request.url.host, hop.request.url.port)
        try:
            session = self._tls_session(spec, hop.request, verify=spec.tls_verify)
        except ValueError as error:
            hop.verdict = Verdict(Status.UNKNOWN, HttpReason.TLS_CLIENT_CERTIFICATE_UNUSABLE, f"In the spec, {error}.")
            return
        wire = await self._connect_once(spec, hop, session, begun_at, deadline)
        if wire.session is None or not _is_certificate_tolerated(spec, hop.verdict, wire):
            return
        hop.warning = hop.verdict._replace(status=Status.DEGRADED)
        lenient = self._tls_session(spec, hop.request, verify=False)
        await self._connect_once(spec, hop, lenient, time.monotonic(), deadline)

    async def _connect_once(
        self, spec: HttpSpec, hop: HttpHop, session: TlsSession | None, begun_at: float, deadline: float
    ) -> Wire:
        """Makes one connection and records its outcome. A second connection adds to the facts of the first."""
        if hop.address is None:
            raise RuntimeError("a hop needs an address")
        hop.facts["ip_protocol"] = 6 if hop.address.family == socket.AF_INET6 else 4
        tunnel = None if hop.route is None else hop.route.new_tunnel()
        wire = Wire(self.loop, hop.exchange, hop.address, session, egress=self.egress, tunnel=tunnel)
        hop.exchange.wire = wire
        await wire.run(deadline)
        if wire.end is End.CLOSED and wire.phase is Phase.TRANSFER:
            hop.exchange.on_closed()
        hop.timed_out = wire.end is End.TIMEOUT and not hop.exchange.decided
        if session is not None:
            self._inspect_tls(spec, hop, session, wire)
        # With certificates as evidence, the raw bytes of the handshake add nothing.
        hop.first_bytes = b"" if hop.peer.sent_chain and wire.phase is Phase.TLS else wire.first_bytes
        hop.verdict = self._judge(spec, hop, wire)
        hop.exchange.release()
        _record_phases(hop.phases, wire, begun_at)
        hop.facts = hop.exchange.facts | hop.facts
        return wire

    def _judge(self, spec: HttpSpec, hop: HttpHop, wire: Wire) -> Verdict:
        if hop.route is not None:
            refusal = None if wire.tunnel is None else wire.tunnel.refusal
            explained = judge_route(hop.route, wire, refusal, hop.exchange, spec.secrets)
            if explained is not None:
                return explained
        return judge(spec, wire, hop.exchange, hop.peer, has_roots=self.tls_contexts.has_roots)

    def _inspect_tls(self, spec: HttpSpec, hop: HttpHop, session: TlsSession, wire: Wire) -> None:
        if hop.warning is not None:
            failed = session.classify_error(wire.error) if isinstance(wire.error, ssl.SSLError) else None
            hop.peer = replace(hop.peer, failure=failed)
            hop.facts |= session_facts(session)
            return
        now = datetime.fromtimestamp(self.clock(), UTC)
        hop.peer = inspect_peer(
            session, self.tls_contexts, now, expiry_fraction=spec.tls_expiry_fraction, error=wire.error
        )
        hop.facts |= hop.peer.facts
        hop.warning = certificate_warning(spec, hop.peer)

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
    """Returns whether a refused certificate is only a warning.

    Verification is left to OpenSSL, which knows all rules, and a failed handshake cannot be resumed. So the request is
    sent over a second connection that accepts any certificate.
    """
    refused = isinstance(wire.error, ssl.SSLCertVerificationError) and verdict.status is Status.DOWN
    return refused and spec.tls_findings == "degraded"


def _record_phases(phases: dict[str, float], wire: Wire, begun_at: float) -> None:
    """Records the duration of each phase; the last one ended with the connection. Replaces earlier records."""
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
