"""From what was seen on one hop to a verdict. Pure, so that every rule has a test without a server."""

import ssl

from libs.model.outcome import Fact, Reason, Status
from libs.net.fault import Fault, connect_fault
from libs.net.judgement import (
    HANDSHAKE_CLOSED,
    HANDSHAKE_RESET,
    HANDSHAKE_TIMEOUT,
    expiring_soon,
    handshake_failed,
)
from libs.net.peer import Peer
from libs.net.talk import End, Ended, Phase
from libs.net.tls import TlsTooOldError, words
from services.http.answer import Answer
from services.http.shown import shown
from services.http.spec import HttpReason, HttpSpec

# A status, its reason and a sentence: a fault of the network is one already.
Verdict = Fault
UNSEEN = Verdict(Status.UNKNOWN, Reason.PROBE_CRASHED, "The visit was not finished.")


_TIMEOUTS = {
    Phase.CONNECT: Verdict(Status.DOWN, Reason.CONNECT_TIMEOUT, "The connection was not accepted in time."),
    Phase.TLS: HANDSHAKE_TIMEOUT,
    Phase.FIRST_BYTE: Verdict(
        Status.DOWN, HttpReason.FIRST_BYTE_TIMEOUT, "The request was sent, and no answer began in time."
    ),
    Phase.TRANSFER: Verdict(Status.DOWN, HttpReason.TRANSFER_TIMEOUT, "The answer began and did not end in time."),
}
_RESETS = {
    Phase.TLS: HANDSHAKE_RESET,
    Phase.FIRST_BYTE: Verdict(
        Status.DOWN, HttpReason.FIRST_BYTE_RESET, "The connection was reset before the answer began."
    ),
    Phase.TRANSFER: Verdict(Status.DOWN, HttpReason.TRANSFER_RESET, "The connection was reset inside the answer."),
}
# RFC 7301 section 3.2: the server shares none of the protocols that we offered.
_NO_PROTOCOL = "tlsv1 alert no application protocol"
NO_PEER = Peer()


def judge(spec: HttpSpec, wire: Ended, answer: Answer, peer: Peer = NO_PEER, *, has_roots: bool) -> Verdict:
    """Returns what one finished hop means. An answer that redirects is up: where it leads decides."""
    if answer.enough:
        return _answered(spec, answer)
    if wire.end is End.TIMEOUT:
        return _TIMEOUTS[wire.phase]
    if wire.end is End.TLS_FAILED and isinstance(wire.error, ssl.SSLError):
        return _tls_failed(spec, wire.error, peer, has_roots=has_roots)
    if wire.end is End.BROKEN and isinstance(wire.error, OSError):
        return _broken(wire, wire.error)
    if wire.end is End.CLOSED and wire.phase is not Phase.TRANSFER:
        return _closed(wire.phase)
    return _answered(spec, answer)


def concern(spec: HttpSpec, peer: Peer) -> Verdict | None:
    """Returns what is worth a warning about certificates that were accepted."""
    return expiring_soon(peer) if spec.tls_verify else None


def too_old(spec: HttpSpec, version: Fact) -> Verdict:
    """Returns what is wrong with the TLS version of a hop, such as "TLSv1.2"; None stands for plain HTTP."""
    seen = "The answer came without TLS" if version is None else f"The server speaks {version}"
    return _down(HttpReason.TLS_VERSION, f"{seen}, and tls_version_min is {spec.tls_version_min}.")


def too_plain(spec: HttpSpec, answer: Answer) -> Verdict | None:
    """Returns what is wrong with the last answer's HTTP version. Over TLS, the handshake has decided already."""
    if spec.http_version != "2" or answer.redirects or answer.version == "2":
        return None
    return _down(HttpReason.HTTP_VERSION, f"The answer came over HTTP/{answer.version}, and http_version is 2.")


def too_late(spec: HttpSpec, total_s: float) -> Verdict | None:
    """Returns what is wrong with the time that everything took."""
    if spec.time_s_max is None or total_s <= spec.time_s_max:
        return None
    return _down(HttpReason.TIME_EXCEEDED, f"It took {total_s:.3f} s in all, and time_s_max is {spec.time_s_max:g}.")


def _tls_failed(spec: HttpSpec, error: ssl.SSLError, peer: Peer, *, has_roots: bool) -> Verdict:
    if isinstance(error, TlsTooOldError):
        return too_old(spec, error.version)
    if words(error) == _NO_PROTOCOL and spec.http_version != "any":
        detail = f"The server does not speak HTTP/{spec.http_version} ({words(error)})."
        return _down(HttpReason.HTTP_VERSION, detail)
    return handshake_failed(error, peer, has_roots=has_roots)


def _answered(spec: HttpSpec, answer: Answer) -> Verdict:
    if answer.flaw is not None:
        return _down(answer.flaw.reason, answer.flaw.detail)
    if not answer.expected and not answer.redirects:
        expected = ", ".join(map(str, spec.expect_status))
        return _down(HttpReason.STATUS_UNEXPECTED, f"The server answered {answer.status}, not {expected}.")
    return _texts(spec, answer) or Verdict(Status.UP, Reason.OK, f"The server answered {answer.status}.")


def _texts(spec: HttpSpec, answer: Answer) -> Verdict | None:
    if answer.texts is None or answer.redirects:
        return None
    if answer.texts.found is not None:
        return _down(HttpReason.BODY_MISMATCH, f"The body holds {shown(answer.texts.found, spec.secrets)}.")
    if not answer.texts.missing:
        return None
    return _down(HttpReason.BODY_MISMATCH, f"The body does not hold {shown(answer.texts.missing[0], spec.secrets)}.")


def _broken(wire: Ended, error: OSError) -> Verdict:
    if wire.phase is Phase.CONNECT:
        return connect_fault(error, answered=wire.answered)
    if isinstance(error, TimeoutError):
        return _TIMEOUTS[wire.phase]
    return _RESETS[wire.phase]


def _closed(phase: Phase) -> Verdict:
    if phase is Phase.TLS:
        return HANDSHAKE_CLOSED
    return _down(HttpReason.EMPTY_ANSWER, "The server closed the connection without an answer.")


def _down(reason: HttpReason, detail: str) -> Verdict:
    return Verdict(Status.DOWN, reason, detail)
