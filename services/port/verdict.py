"""From what was seen on one connection to a verdict. Pure."""

import ssl
from collections.abc import Mapping
from typing import NamedTuple

from libs.model.outcome import Reason, Status
from libs.net.exchange import ConnectionOutcome, End, Phase
from libs.net.tls.peer import TlsPeer
from libs.net.tls.verdicts import HANDSHAKE_CLOSED, HANDSHAKE_RESET, HANDSHAKE_TIMEOUT, handshake_verdict
from libs.net.verdict import Verdict, connect_verdict
from services.port.protocol_api import (
    ProtocolSessionError,
    ServiceRefused,
    ServiceUnhealthy,
    TlsNotOffered,
    UnexpectedAnswer,
)
from services.port.spec import PortReason, PortSpec

_ERROR_VERDICTS: Mapping[type[ProtocolSessionError], tuple[Status, PortReason]] = {
    UnexpectedAnswer: (Status.DOWN, PortReason.UNEXPECTED_ANSWER),
    ServiceRefused: (Status.DEGRADED, PortReason.REFUSING),
    ServiceUnhealthy: (Status.DEGRADED, PortReason.UNHEALTHY),
    TlsNotOffered: (Status.DOWN, PortReason.STARTTLS_MISSING),
}


class SessionOutcome(NamedTuple):
    """What a verdict needs to know about a dialogue."""

    error: ProtocolSessionError | None
    finished: bool
    has_received: bool  # whether the peer said a word


def judge(spec: PortSpec, wire: ConnectionOutcome, heard: SessionOutcome, peer: TlsPeer, *, has_roots: bool) -> Verdict:
    """Returns what one connection means."""
    if heard.error is not None:
        status, reason = _ERROR_VERDICTS[type(heard.error)]
        said = f": {heard.error.peer_text}" if heard.error.peer_text else ""
        return Verdict(status, reason, f"{heard.error.detail.rstrip('.')}{said}.")
    if heard.finished:
        return Verdict(Status.UP, Reason.OK, _up_detail(spec))
    if wire.end is End.TIMEOUT or isinstance(wire.error, TimeoutError):
        return _timeout_verdict(spec, wire, heard)
    if wire.end is End.TLS_FAILED and isinstance(wire.error, ssl.SSLError):
        return handshake_verdict(wire.error, peer, has_roots=has_roots)
    if wire.end is End.BROKEN and isinstance(wire.error, OSError):
        return _error_verdict(spec, wire, wire.error)
    return _closed_verdict(wire.phase, heard)


def _up_detail(spec: PortSpec) -> str:
    if spec.service is not None:
        return f"The peer speaks {spec.service}."
    if spec.steps:
        return "The conversation went as it was written."
    return "The connection was accepted."


def _timeout_verdict(spec: PortSpec, wire: ConnectionOutcome, heard: SessionOutcome) -> Verdict:
    if wire.phase is Phase.CONNECT:
        return Verdict(Status.DOWN, Reason.CONNECT_TIMEOUT, "The connection was not accepted in time.")
    if wire.phase is Phase.TLS:
        return HANDSHAKE_TIMEOUT
    if heard.has_received:
        return Verdict(Status.DOWN, PortReason.ANSWER_TIMEOUT, "The peer began to talk and did not go on in time.")
    if not spec.over_udp:
        return Verdict(Status.DEGRADED, PortReason.SILENT, "The connection was accepted, and not one word came.")
    if spec.service_definition is not None and spec.service_definition.must_answer:
        return Verdict(Status.DOWN, PortReason.NO_ANSWER, f"Nothing answered, as {spec.service} must.")
    return Verdict(Status.UNKNOWN, PortReason.NO_ANSWER, "Nothing answered, which over UDP proves nothing.")


def _error_verdict(spec: PortSpec, wire: ConnectionOutcome, error: OSError) -> Verdict:
    # Over UDP an ICMP error comes whenever it comes: it says what a failed connect would have said.
    if wire.phase is Phase.CONNECT or spec.over_udp:
        return connect_verdict(error, answered=wire.answered)
    if wire.phase is Phase.TLS:
        return HANDSHAKE_RESET
    return Verdict(Status.DOWN, PortReason.RESET, "The connection was reset after it had been accepted.")


def _closed_verdict(phase: Phase, heard: SessionOutcome) -> Verdict:
    if phase is Phase.TLS:
        return HANDSHAKE_CLOSED
    when = "in the middle of the conversation" if heard.has_received else "without a word"
    return Verdict(Status.DOWN, PortReason.CLOSED, f"The peer hung up {when}.")
