"""One connection: resolve, connect, TLS if asked for, the conversation; all under one deadline. Returns what was seen."""

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
_UNFINISHED = Verdict(Status.UNKNOWN, Reason.PROBE_CRASHED, "The visit was not finished.")


@dataclass(slots=True)
class PortConnection:
    """One connection as it was seen."""

    spec: PortSpec
    started_at: float = field(default_factory=time.monotonic)
    address: SocketAddress | None = None
    verdict: Verdict = _UNFINISHED
    warning: Verdict | None = None  # what a good answer does not make good
    timed_out: bool = False
    first_bytes: bytes = b""  # what the peer said first
    peer: TlsPeer = field(default_factory=TlsPeer)
    phases: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Fact] = field(default_factory=dict)
    samples: dict[str, float] = field(default_factory=dict)

    def to_hop(self) -> Hop:
        host = None if self.address is None else self.address.host
        said = "" if self.verdict.status is Status.UP else printable(self.first_bytes)
        return Hop(target=self.spec.target, address=host, phases=self.phases, facts=self.facts, said=said)


@dataclass(frozen=True, slots=True)
class PortConnectionRunner:
    """Makes visits with what they all share in this process."""

    loop: asyncio.AbstractEventLoop
    resolver: Resolver
    tls_contexts: TlsContexts
    egress: EgressPolicy
    clock: Callable[[], float] = time.time

    async def run(self, spec: PortSpec, deadline: float) -> PortConnection:
        """Makes one check; `deadline` is an instant of time.monotonic()."""
        seen = PortConnection(spec)
        found = await self._resolve(spec, seen, deadline)
        if isinstance(found, Verdict):
            seen.verdict = found
            return seen
        seen.address = found._replace(kind=socket.SOCK_DGRAM) if spec.over_udp else found
        seen.facts["ip_protocol"] = 6 if found.family == socket.AF_INET6 else 4
        wire = await self._connect_once(spec, seen, deadline, verify=spec.tls_verify)
        refused = isinstance(wire.error, ssl.SSLCertVerificationError) and seen.verdict.status is Status.DOWN
        if refused and spec.degrades_on_tls_findings:
            # The handshake that refused the certificate is over: the conversation goes over a second connection.
            seen.phases = {name: took_s for name, took_s in seen.phases.items() if name == "resolve_s"}
            seen.warning = seen.verdict._replace(status=Status.DEGRADED)
            await self._connect_once(spec, seen, deadline, verify=False)
        return seen

    async def _resolve(self, spec: PortSpec, seen: PortConnection, deadline: float) -> SocketAddress | Verdict:
        host, _, is_address = spec.authority
        if is_address or spec.resolve_to is not None:
            return literal_address(host if spec.resolve_to is None else spec.resolve_to, spec.effective_port)
        found = await self.resolver.resolve(host, spec.effective_port, deadline, _FAMILIES.get(spec.family))
        seen.phases["resolve_s"] = time.monotonic() - seen.started_at
        return found if isinstance(found, Verdict) else found[0]

    async def _connect_once(self, spec: PortSpec, seen: PortConnection, deadline: float, *, verify: bool) -> Wire:
        if seen.address is None:
            raise RuntimeError("a visit needs an address")

        def session() -> TlsSession:
            return self.tls_contexts.session(spec.tls_name, verify=verify)

        begun_at = time.monotonic()
        call = ProtocolContext(
            host=spec.hostname,
            port=spec.effective_port,
            over_udp=spec.over_udp,
            over_tls=spec.implicit_tls,
            starttls=spec.starttls_policy,
            query_name=spec.query_name,
            query_type=spec.query_type,
            clock=self.clock,
            local_name=_LOCAL_NAME,
            facts=seen.facts,
            samples=seen.samples,
        )
        dialogue = ProtocolSession(call, _select_protocol(spec)(call), session)
        first = session() if spec.implicit_tls else None
        wire = Wire(self.loop, dialogue, seen.address, first, egress=self.egress)
        dialogue.wire = wire
        with retransmitting(self.loop, wire, dialogue, deadline, wanted=spec.over_udp):
            end = await wire.run(deadline)
        dialogue.wire = None  # they would hold each other
        self._inspect_tls(spec, seen, wire, verify=verify)
        # Beside its certificates, the bytes of a handshake say nothing to people.
        seen.first_bytes = b"" if seen.peer.sent_chain and wire.phase is Phase.TLS else wire.first_bytes
        heard = SessionOutcome(dialogue.error, dialogue.finished, dialogue.has_received)
        seen.verdict = judge(spec, wire, heard, seen.peer, has_roots=self.tls_contexts.has_roots)
        seen.timed_out = end == "timeout" and not dialogue.finished
        _record_phases(seen, wire, dialogue, begun_at)
        return wire

    def _inspect_tls(self, spec: PortSpec, seen: PortConnection, wire: Wire, *, verify: bool) -> None:
        if wire.session is None:
            return
        if seen.warning is not None:
            failed = wire.session.classify_error(wire.error) if isinstance(wire.error, ssl.SSLError) else None
            seen.peer = replace(seen.peer, failure=failed)
            seen.facts |= session_facts(wire.session)
            return
        now = datetime.fromtimestamp(self.clock(), UTC)
        fraction = spec.tls_expiry_fraction
        seen.peer = inspect_peer(wire.session, self.tls_contexts, now, expiry_fraction=fraction, error=wire.error)
        seen.facts |= seen.peer.facts
        seen.warning = expiry_warning(seen.peer) if verify else None


def _select_protocol(spec: PortSpec) -> Callable[[ProtocolContext], ProtocolGenerator]:
    if spec.service_definition is not None:
        return spec.service_definition.protocol
    return ExpectScript(spec.steps) if spec.steps else _connect_only


def _connect_only(_: ProtocolContext) -> ProtocolGenerator:
    """To have been let in is enough."""
    return CloseSequence()
    yield


def _record_phases(seen: PortConnection, wire: Wire, dialogue: ProtocolSession, begun_at: float) -> None:
    """Notes how long each phase took, in the order in which they came: TLS may come after the first words."""
    marks = {"connect_s": wire.marks.get(Phase.CONNECT), "first_byte_s": dialogue.first_byte_at}
    marks |= {"starttls_s": dialogue.starttls_agreed_at, "tls_s": wire.marks.get(Phase.TLS)}
    if seen.spec.over_udp:
        del marks["connect_s"]
    known = sorted((at, name) for name, at in marks.items() if at is not None)
    for at, name in known:
        seen.phases[name] = at - begun_at
        begun_at = at
    if dialogue.finished and dialogue.first_byte_at is None:
        return
    last = {Phase.CONNECT: "connect_s", Phase.TLS: "tls_s"}.get(wire.phase, "conversation_s")
    if last == "conversation_s" and dialogue.first_byte_at is None:
        last = "first_byte_s"
    if last not in seen.phases and wire.ended_at > begun_at:
        seen.phases[last] = wire.ended_at - begun_at
