"""Verdict on one connection, from the outcomes of its wire and its protocol session. Pure."""

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
    """The facts about a protocol session that determine the verdict."""

    error: ProtocolSessionError | None
    finished: bool
    has_received: bool  # whether the peer sent any data


def judge(
    spec: PortSpec, wire: ConnectionOutcome, session: SessionOutcome, peer: TlsPeer, *, has_roots: bool
) -> Verdict:
    """Returns the verdict on one connection."""
    if session.error is not None:
        status, reason = _ERROR_VERDICTS[type(session.error)]
        quoted = f": {session.error.peer_text}" if session.error.peer_text else ""
        return Verdict(status, reason, f"{session.error.detail.rstrip('.')}{quoted}.")
    if session.finished:
        return Verdict(Status.UP, Reason.OK, _up_detail(spec))
    if wire.end is End.TIMEOUT or isinstance(wire.error, TimeoutError):
        return _timeout_verdict(spec, wire, session)
    if wire.end is End.TLS_FAILED and isinstance(wire.error, ssl.SSLError):
        return handshake_verdict(wire.error, peer, has_roots=has_roots)
    if wire.end is End.BROKEN and isinstance(wire.error, OSError):
        return _error_verdict(spec, wire, wire.error)
    return _closed_verdict(wire.phase, session)


def _up_detail(spec: PortSpec) -> str:
    if spec.service is not None:
        return f"The peer speaks {spec.service}."
    if spec.steps:
        return "All steps of the script succeeded."
    return "The connection was accepted."


def _timeout_verdict(spec: PortSpec, wire: ConnectionOutcome, session: SessionOutcome) -> Verdict:
    if wire.phase is Phase.CONNECT:
        return Verdict(Status.DOWN, Reason.CONNECT_TIMEOUT, "The connection was not accepted in time.")
    if wire.phase is Phase.TLS:
        return HANDSHAKE_TIMEOUT
    if session.has_received:
        return Verdict(Status.DOWN, PortReason.ANSWER_TIMEOUT, "The server stopped responding during the exchange.")
    if not spec.over_udp:
        return Verdict(Status.DEGRADED, PortReason.SILENT, "The connection was accepted, but the server sent no data.")
    if spec.service_definition is not None and spec.service_definition.must_answer:
        return Verdict(Status.DOWN, PortReason.NO_ANSWER, f"No reply arrived, and {spec.service} must reply.")
    return Verdict(Status.UNKNOWN, PortReason.NO_ANSWER, "No reply arrived, which is inconclusive over UDP.")


def _error_verdict(spec: PortSpec, wire: ConnectionOutcome, error: OSError) -> Verdict:
    # Over UDP an ICMP error may arrive in any phase, and means the same as a failed connect.
    if wire.phase is Phase.CONNECT or spec.over_udp:
        return connect_verdict(error, answered=wire.answered)
    if wire.phase is Phase.TLS:
        return HANDSHAKE_RESET
    return Verdict(Status.DOWN, PortReason.RESET, "The connection was reset after it had been accepted.")


def _closed_verdict(phase: Phase, session: SessionOutcome) -> Verdict:
    if phase is Phase.TLS:
        return HANDSHAKE_CLOSED
    when = "during the exchange" if session.has_received else "before it sent any data"
    return Verdict(Status.DOWN, PortReason.CLOSED, f"The server closed the connection {when}.")
