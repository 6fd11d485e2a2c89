"""One connection: resolve, connect, TLS if asked for, the conversation; all under one deadline. Returns what was seen."""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from libs.model.outcome import Fact, Hop, Reason, Status
from libs.net.dial import Address, literal
from libs.net.egress import Egress
from libs.net.fault import Fault
from libs.net.judgement import expiring_soon
from libs.net.peer import Peer, look, session_facts
from libs.net.resolve import Resolver
from libs.net.talk import Phase
from libs.net.tls import Session, Trust
from libs.net.wire import Wire
from services.port.conversation import Call, Goodbye, Talk, shown
from services.port.dialogue import Dialogue
from services.port.repeat import repeating
from services.port.script import Script
from services.port.spec import PortSpec
from services.port.verdict import Heard, judge

_FAMILIES = {"4": socket.AF_INET, "6": socket.AF_INET6}
_OWN_NAME = socket.gethostname()
_UNSEEN = Fault(Status.UNKNOWN, Reason.PROBE_CRASHED, "The visit was not finished.")


@dataclass(slots=True)
class Visit:
    """One connection as it was seen."""

    spec: PortSpec
    begun_at: float = field(default_factory=time.monotonic)
    address: Address | None = None
    verdict: Fault = _UNSEEN
    concern: Fault | None = None  # what a good answer does not make good
    timed_out: bool = False
    first: bytes = b""  # what the peer said first
    peer: Peer = field(default_factory=Peer)
    phases: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Fact] = field(default_factory=dict)
    samples: dict[str, float] = field(default_factory=dict)

    def hop(self) -> Hop:
        host = None if self.address is None else self.address.host
        said = "" if self.verdict.status is Status.UP else shown(self.first)
        return Hop(target=self.spec.target, address=host, phases=self.phases, facts=self.facts, said=said)


@dataclass(frozen=True, slots=True)
class Visitor:
    """Makes visits with what they all share in this process."""

    loop: asyncio.AbstractEventLoop
    resolver: Resolver
    trust: Trust
    egress: Egress
    clock: Callable[[], float] = time.time

    async def visit(self, spec: PortSpec, deadline: float) -> Visit:
        """Makes one check; `deadline` is an instant of time.monotonic()."""
        seen = Visit(spec)
        found = await self._address(spec, seen, deadline)
        if isinstance(found, Fault):
            seen.verdict = found
            return seen
        seen.address = found._replace(kind=socket.SOCK_DGRAM) if spec.over_udp else found
        seen.facts["ip_protocol"] = 6 if found.family == socket.AF_INET6 else 4
        wire = await self._talk(spec, seen, deadline, verify=spec.tls_verify)
        refused = isinstance(wire.error, ssl.SSLCertVerificationError) and seen.verdict.status is Status.DOWN
        if refused and spec.forgives:
            # The handshake that refused the certificate is over: the conversation goes over a second connection.
            seen.phases = {name: took_s for name, took_s in seen.phases.items() if name == "resolve_s"}
            seen.concern = seen.verdict._replace(status=Status.DEGRADED)
            await self._talk(spec, seen, deadline, verify=False)
        return seen

    async def _address(self, spec: PortSpec, seen: Visit, deadline: float) -> Address | Fault:
        host, _, is_address = spec.authority
        if is_address or spec.resolve_to is not None:
            return literal(host if spec.resolve_to is None else spec.resolve_to, spec.number)
        found = await self.resolver.resolve(host, spec.number, deadline, _FAMILIES.get(spec.family))
        seen.phases["resolve_s"] = time.monotonic() - seen.begun_at
        return found if isinstance(found, Fault) else found[0]

    async def _talk(self, spec: PortSpec, seen: Visit, deadline: float, *, verify: bool) -> Wire:
        if seen.address is None:
            raise RuntimeError("a visit needs an address")

        def session() -> Session:
            return self.trust.session(spec.tls_name, verify=verify)

        begun_at = time.monotonic()
        call = Call(
            host=spec.hostname,
            port=spec.number,
            over_udp=spec.over_udp,
            over_tls=spec.tls_first,
            starttls=spec.policy,
            query_name=spec.query_name,
            query_type=spec.query_type,
            clock=self.clock,
            own_name=_OWN_NAME,
            facts=seen.facts,
            samples=seen.samples,
        )
        dialogue = Dialogue(call, _conversation(spec)(call), session)
        first = session() if spec.tls_first else None
        wire = Wire(self.loop, dialogue, seen.address, first, egress=self.egress)
        dialogue.wire = wire
        with repeating(self.loop, wire, dialogue, deadline, wanted=spec.over_udp):
            end = await wire.run(deadline)
        dialogue.wire = None  # they would hold each other
        self._look(spec, seen, wire, verify=verify)
        # Beside its certificates, the bytes of a handshake say nothing to people.
        seen.first = b"" if seen.peer.sent and wire.phase is Phase.TLS else wire.first
        heard = Heard(dialogue.error, dialogue.finished, dialogue.heard)
        seen.verdict = judge(spec, wire, heard, seen.peer, has_roots=self.trust.has_roots)
        seen.timed_out = end == "timeout" and not dialogue.finished
        _note_phases(seen, wire, dialogue, begun_at)
        return wire

    def _look(self, spec: PortSpec, seen: Visit, wire: Wire, *, verify: bool) -> None:
        if wire.session is None:
            return
        if seen.concern is not None:
            failed = wire.session.failure(wire.error) if isinstance(wire.error, ssl.SSLError) else None
            seen.peer = replace(seen.peer, failure=failed)
            seen.facts |= session_facts(wire.session)
            return
        now = datetime.fromtimestamp(self.clock(), UTC)
        fraction = spec.tls_expiry_fraction
        seen.peer = look(wire.session, self.trust, now, expiry_fraction=fraction, error=wire.error)
        seen.facts |= seen.peer.facts
        seen.concern = expiring_soon(seen.peer) if verify else None


def _conversation(spec: PortSpec) -> Callable[[Call], Talk]:
    if spec.entry is not None:
        return spec.entry.talk
    return Script(spec.steps) if spec.steps else _nothing


def _nothing(_: Call) -> Talk:
    """To have been let in is enough."""
    return Goodbye()
    yield


def _note_phases(seen: Visit, wire: Wire, dialogue: Dialogue, begun_at: float) -> None:
    """Notes how long each phase took, in the order in which they came: TLS may come after the first words."""
    marks = {"connect_s": wire.marks.get(Phase.CONNECT), "first_byte_s": dialogue.heard_at}
    marks |= {"starttls_s": dialogue.consent_at, "tls_s": wire.marks.get(Phase.TLS)}
    if seen.spec.over_udp:
        del marks["connect_s"]
    known = sorted((at, name) for name, at in marks.items() if at is not None)
    for at, name in known:
        seen.phases[name] = at - begun_at
        begun_at = at
    if dialogue.finished and dialogue.heard_at is None:
        return
    last = {Phase.CONNECT: "connect_s", Phase.TLS: "tls_s"}.get(wire.phase, "conversation_s")
    if last == "conversation_s" and dialogue.heard_at is None:
        last = "first_byte_s"
    if last not in seen.phases and wire.ended_at > begun_at:
        seen.phases[last] = wire.ended_at - begun_at
