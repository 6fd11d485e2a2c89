"""From what was seen on one connection to a verdict. Pure."""

import ssl
from collections.abc import Mapping
from typing import NamedTuple

from libs.model.outcome import Reason, Status
from libs.net.fault import Fault, connect_fault
from libs.net.judgement import HANDSHAKE_CLOSED, HANDSHAKE_RESET, HANDSHAKE_TIMEOUT, handshake_failed
from libs.net.peer import Peer
from libs.net.talk import End, Ended, Phase
from services.port.conversation import ConversationError, Refusing, TlsMissing, Unexpected, Unhealthy
from services.port.spec import PortReason, PortSpec

_ERRORS: Mapping[type[ConversationError], tuple[Status, PortReason]] = {
    Unexpected: (Status.DOWN, PortReason.UNEXPECTED_ANSWER),
    Refusing: (Status.DEGRADED, PortReason.REFUSING),
    Unhealthy: (Status.DEGRADED, PortReason.UNHEALTHY),
    TlsMissing: (Status.DOWN, PortReason.STARTTLS_MISSING),
}


class Heard(NamedTuple):
    """What a verdict needs to know about a dialogue."""

    error: ConversationError | None
    finished: bool
    anything: bool  # whether the peer said a word


def judge(spec: PortSpec, wire: Ended, heard: Heard, peer: Peer, *, has_roots: bool) -> Fault:
    """Returns what one connection means."""
    if heard.error is not None:
        status, reason = _ERRORS[type(heard.error)]
        said = f": {heard.error.said}" if heard.error.said else ""
        return Fault(status, reason, f"{heard.error.sentence.rstrip('.')}{said}.")
    if heard.finished:
        return Fault(Status.UP, Reason.OK, _good(spec))
    if wire.end is End.TIMEOUT or isinstance(wire.error, TimeoutError):
        return _timeout(spec, wire, heard)
    if wire.end is End.TLS_FAILED and isinstance(wire.error, ssl.SSLError):
        return handshake_failed(wire.error, peer, has_roots=has_roots)
    if wire.end is End.BROKEN and isinstance(wire.error, OSError):
        return _broken(spec, wire, wire.error)
    return _closed(wire.phase, heard)


def _good(spec: PortSpec) -> str:
    if spec.service is not None:
        return f"The peer speaks {spec.service}."
    if spec.steps:
        return "The conversation went as it was written."
    return "The connection was accepted."


def _timeout(spec: PortSpec, wire: Ended, heard: Heard) -> Fault:
    if wire.phase is Phase.CONNECT:
        return Fault(Status.DOWN, Reason.CONNECT_TIMEOUT, "The connection was not accepted in time.")
    if wire.phase is Phase.TLS:
        return HANDSHAKE_TIMEOUT
    if heard.anything:
        return Fault(Status.DOWN, PortReason.ANSWER_TIMEOUT, "The peer began to talk and did not go on in time.")
    if not spec.over_udp:
        return Fault(Status.DEGRADED, PortReason.SILENT, "The connection was accepted, and not one word came.")
    if spec.entry is not None and spec.entry.must_answer:
        return Fault(Status.DOWN, PortReason.NO_ANSWER, f"Nothing answered, as {spec.service} must.")
    return Fault(Status.UNKNOWN, PortReason.NO_ANSWER, "Nothing answered, which over UDP proves nothing.")


def _broken(spec: PortSpec, wire: Ended, error: OSError) -> Fault:
    # Over UDP an ICMP error comes whenever it comes: it says what a failed connect would have said.
    if wire.phase is Phase.CONNECT or spec.over_udp:
        return connect_fault(error, answered=wire.answered)
    if wire.phase is Phase.TLS:
        return HANDSHAKE_RESET
    return Fault(Status.DOWN, PortReason.RESET, "The connection was reset after it had been accepted.")


def _closed(phase: Phase, heard: Heard) -> Fault:
    if phase is Phase.TLS:
        return HANDSHAKE_CLOSED
    when = "in the middle of the conversation" if heard.anything else "without a word"
    return Fault(Status.DOWN, PortReason.CLOSED, f"The peer hung up {when}.")
