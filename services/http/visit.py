"""One hop: resolve, connect, TLS, request and answer, all under one deadline. Returns what was seen, judged."""

import asyncio
import socket
import time
from dataclasses import dataclass, field

from libs.model.outcome import Fact, Hop
from libs.net.dial import Address, literal
from libs.net.egress import Egress
from libs.net.fault import Fault
from libs.net.resolve import Resolver
from libs.net.tls import Leaf, Session, Trust
from libs.net.wire import End, Phase, Wire
from services.http.answer import Answer
from services.http.request import Request
from services.http.spec import HttpSpec
from services.http.verdict import UNSEEN, Verdict, judge

_ORDER = (Phase.CONNECT, Phase.TLS, Phase.FIRST_BYTE, Phase.TRANSFER)
_FAMILIES = {"4": socket.AF_INET, "6": socket.AF_INET6}
_NAMES = {phase: f"{phase}_s" for phase in _ORDER}


@dataclass(slots=True)
class Visit:
    """One hop as it was seen. The answer is empty when nobody answered."""

    request: Request
    answer: Answer
    verdict: Verdict = UNSEEN
    timed_out: bool = False
    overrun_s: float = 0.0  # how late the deadline was noticed
    address: Address | None = None
    phases: dict[str, float] = field(default_factory=dict)
    leaf: Leaf | None = None
    facts: dict[str, Fact] = field(default_factory=dict)

    def hop(self) -> Hop:
        return Hop(
            target=self.request.url.redacted,
            address=None if self.address is None else self.address.host,
            phases=self.phases,
            facts=self.facts,
        )


@dataclass(frozen=True, slots=True)
class Visitor:
    """Makes visits with what they all share in this process."""

    loop: asyncio.AbstractEventLoop
    resolver: Resolver
    trust: Trust
    egress: Egress

    async def visit(self, spec: HttpSpec, request: Request, deadline: float) -> Visit:
        """Makes one request to one address; `deadline` is an instant of time.monotonic()."""
        begun_at = time.monotonic()
        answer = Answer(spec, request)
        fixed = spec.address_of(request.url)
        if fixed is not None:
            seen = Visit(request, answer, address=literal(fixed, request.url.port))
            return await self._call(spec, seen, begun_at, deadline)
        family = _FAMILIES.get(spec.family)
        found = await self.resolver.resolve(request.url.host, request.url.port, deadline, family)
        resolved_at = time.monotonic()
        seen = Visit(request, answer, phases={"resolve_s": resolved_at - begun_at})
        if isinstance(found, Fault):
            seen.verdict = found
            if family is not None:
                seen.facts["ip_protocol"] = int(spec.family)
            return seen
        seen.address = found[0]
        return await self._call(spec, seen, resolved_at, deadline)

    async def _call(self, spec: HttpSpec, seen: Visit, begun_at: float, deadline: float) -> Visit:
        seen.address = seen.address or literal(seen.request.url.host, seen.request.url.port)
        seen.facts["ip_protocol"] = 6 if seen.address.family == socket.AF_INET6 else 4
        session = self._session(spec, seen.request)
        wire = Wire(self.loop, seen.answer, seen.address, session, egress=self.egress)
        await wire.run(deadline)
        if wire.end is End.CLOSED and wire.phase is Phase.TRANSFER:
            seen.answer.closed()
        seen.answer.release()
        seen.timed_out = wire.end is End.TIMEOUT
        seen.overrun_s = wire.ended_at - deadline
        seen.verdict = judge(spec, wire, seen.answer, has_roots=self.trust.has_roots)
        _note_phases(seen.phases, wire, begun_at)
        _note_facts(seen, session)
        return seen

    def _session(self, spec: HttpSpec, request: Request) -> Session | None:
        if request.url.scheme != "https":
            return None
        return self.trust.session(request.server_name, verify=spec.tls_verify)


def _note_phases(phases: dict[str, float], wire: Wire, begun_at: float) -> None:
    """Notes how long each phase took; the one in which it ended lasted until the end."""
    marks = wire.marks
    for phase in _ORDER:
        if phase is Phase.TLS and wire.session is None:
            continue
        ended_at = marks.get(phase, wire.ended_at)
        phases[_NAMES[phase]] = ended_at - begun_at
        begun_at = ended_at
        if phase is wire.phase:
            return


def _note_facts(seen: Visit, session: Session | None) -> None:
    if seen.answer.headed:
        seen.facts["status_code"] = seen.answer.status
        seen.facts["http_version"] = seen.answer.version
    if session is None:
        return
    seen.leaf = session.leaf
    if session.version is not None:
        seen.facts |= {"tls_version": session.version, "tls_cipher": session.cipher}
    if seen.leaf is not None:
        seen.facts |= {
            "tls_subject": seen.leaf.subject,
            "tls_issuer": seen.leaf.issuer,
            "tls_expires_at": f"{seen.leaf.expires_at:%Y-%m-%dT%H:%M:%SZ}",
        }
