"""One check of a port: resolve, connect, TLS, protocol; all under one deadline."""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from libs.model.outcome import Fact, Hop, Reason, Status
from libs.net.egress import EgressPolicy
from libs.net.exchange import Phase
from libs.net.resolver import Resolver
from libs.net.sockets import SocketAddress, literal_address
from libs.net.tls.peer import TlsPeer, inspect_peer, session_facts
from libs.net.tls.sessions import TlsContexts, TlsSession
from libs.net.tls.verdicts import expiry_warning
from libs.net.verdict import Verdict
from libs.net.wire import Wire
from services.port.expect_script import ExpectScript
from services.port.protocol_api import CloseSequence, ProtocolContext, ProtocolGenerator, printable
from services.port.retransmission import retransmitting
from services.port.session import ProtocolSession
from services.port.spec import PortSpec
from services.port.verdict import SessionOutcome, judge

_FAMILIES = {"4": socket.AF_INET, "6": socket.AF_INET6}
_LOCAL_NAME = socket.gethostname()
_UNFINISHED = Verdict(Status.UNKNOWN, Reason.PROBE_CRASHED, "The check was not finished.")


@dataclass(slots=True)
class PortConnection:
    """Observations and verdict of one connection."""

    spec: PortSpec
    started_at: float = field(default_factory=time.monotonic)
    address: SocketAddress | None = None
    verdict: Verdict = _UNFINISHED
    warning: Verdict | None = None  # a verdict that replaces `up`
    timed_out: bool = False
    first_bytes: bytes = b""  # the first bytes received, for diagnosis
    peer: TlsPeer = field(default_factory=TlsPeer)
    phases: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Fact] = field(default_factory=dict)
    samples: dict[str, float] = field(default_factory=dict)

    def to_hop(self) -> Hop:
        host = None if self.address is None else self.address.host
        received = "" if self.verdict.status is Status.UP else printable(self.first_bytes)
        return Hop(target=self.spec.target, address=host, phases=self.phases, facts=self.facts, said=received)


@dataclass(frozen=True, slots=True)
class PortConnectionRunner:
    """Runs connections with the resources that all checks of a process share."""

    loop: asyncio.AbstractEventLoop
    resolver: Resolver
    tls_contexts: TlsContexts
    egress: EgressPolicy
    clock: Callable[[], float] = time.time

    async def run(self, spec: PortSpec, deadline: float) -> PortConnection:
        """Runs one check; `deadline` is an instant of time.monotonic()."""
        connection = PortConnection(spec)
        address = await self._resolve(spec, connection, deadline)
        if isinstance(address, Verdict):
            connection.verdict = address
            return connection
        connection.address = address._replace(kind=socket.SOCK_DGRAM) if spec.over_udp else address
        connection.facts["ip_protocol"] = 6 if address.family == socket.AF_INET6 else 4
        wire = await self._connect_once(spec, connection, deadline, verify=spec.tls_verify)
        refused = isinstance(wire.error, ssl.SSLCertVerificationError) and connection.verdict.status is Status.DOWN
        if refused and spec.degrades_on_tls_findings:
            # The handshake ended when the certificate was refused: the protocol needs a second connection.
            connection.phases = {name: took_s for name, took_s in connection.phases.items() if name == "resolve_s"}
            connection.warning = connection.verdict._replace(status=Status.DEGRADED)
            await self._connect_once(spec, connection, deadline, verify=False)
        return connection

    async def _resolve(self, spec: PortSpec, connection: PortConnection, deadline: float) -> SocketAddress | Verdict:
        host, is_address = spec.authority
        if is_address or spec.resolve_to is not None:
            return literal_address(host if spec.resolve_to is None else spec.resolve_to, spec.effective_port)
        address = await self.resolver.resolve(host, spec.effective_port, deadline, _FAMILIES.get(spec.family))
        connection.phases["resolve_s"] = time.monotonic() - connection.started_at
        return address if isinstance(address, Verdict) else address[0]

    async def _connect_once(self, spec: PortSpec, connection: PortConnection, deadline: float, *, verify: bool) -> Wire:
        if connection.address is None:
            raise RuntimeError("a connection needs an address")

        def session() -> TlsSession:
            return self.tls_contexts.session(spec.tls_name, verify=verify)

        begun_at = time.monotonic()
        context = ProtocolContext(
            host=spec.hostname,
            port=spec.effective_port,
            over_udp=spec.over_udp,
            over_tls=spec.implicit_tls,
            starttls=spec.starttls_policy,
            query_name=spec.query_name,
            query_type=spec.query_type,
            clock=self.clock,
            local_name=_LOCAL_NAME,
            facts=connection.facts,
            samples=connection.samples,
        )
        protocol = ProtocolSession(context, _select_protocol(spec)(context), session)
        first = session() if spec.implicit_tls else None
        wire = Wire(self.loop, protocol, connection.address, first, egress=self.egress)
        protocol.wire = wire
        with retransmitting(self.loop, wire, protocol, deadline, wanted=spec.over_udp):
            end = await wire.run(deadline)
        protocol.wire = None  # break the reference cycle
        self._inspect_tls(spec, connection, wire, verify=verify)
        # Once there are certificates, the raw bytes of a handshake are of no use to a reader.
        connection.first_bytes = b"" if connection.peer.sent_chain and wire.phase is Phase.TLS else wire.first_bytes
        outcome = SessionOutcome(protocol.error, protocol.finished, protocol.has_received)
        connection.verdict = judge(spec, wire, outcome, connection.peer, has_roots=self.tls_contexts.has_roots)
        connection.timed_out = end == "timeout" and not protocol.finished
        _record_phases(connection, wire, protocol, begun_at)
        return wire

    def _inspect_tls(self, spec: PortSpec, connection: PortConnection, wire: Wire, *, verify: bool) -> None:
        if wire.session is None:
            return
        if connection.warning is not None:
            failed = wire.session.classify_error(wire.error) if isinstance(wire.error, ssl.SSLError) else None
            connection.peer = replace(connection.peer, failure=failed)
            connection.facts |= session_facts(wire.session)
            return
        now = datetime.fromtimestamp(self.clock(), UTC)
        fraction = spec.tls_expiry_fraction
        connection.peer = inspect_peer(wire.session, self.tls_contexts, now, expiry_fraction=fraction, error=wire.error)
        connection.facts |= connection.peer.facts
        connection.warning = expiry_warning(connection.peer) if verify else None


def _select_protocol(spec: PortSpec) -> Callable[[ProtocolContext], ProtocolGenerator]:
    if spec.service_definition is not None:
        return spec.service_definition.protocol
    return ExpectScript(spec.steps) if spec.steps else _connect_only


def _connect_only(_: ProtocolContext) -> ProtocolGenerator:
    """A protocol that succeeds as soon as the connection is open."""
    return CloseSequence()
    yield


def _record_phases(connection: PortConnection, wire: Wire, protocol: ProtocolSession, begun_at: float) -> None:
    """Records the duration of each phase in chronological order: with STARTTLS, TLS comes after the first byte."""
    marks = {"connect_s": wire.marks.get(Phase.CONNECT), "first_byte_s": protocol.first_byte_at}
    marks |= {"starttls_s": protocol.starttls_agreed_at, "tls_s": wire.marks.get(Phase.TLS)}
    if connection.spec.over_udp:
        del marks["connect_s"]
    known = sorted((at, name) for name, at in marks.items() if at is not None)
    for at, name in known:
        connection.phases[name] = at - begun_at
        begun_at = at
    if protocol.finished and protocol.first_byte_at is None:
        return
    last = {Phase.CONNECT: "connect_s", Phase.TLS: "tls_s"}.get(wire.phase, "conversation_s")
    if last == "conversation_s" and protocol.first_byte_at is None:
        last = "first_byte_s"
    if last not in connection.phases and wire.ended_at > begun_at:
        connection.phases[last] = wire.ended_at - begun_at
