"""From what was seen on one hop to a verdict. Pure, so that every rule has a test without a server."""

import ssl
from typing import Protocol

from libs.model.outcome import Reason, Status
from libs.net.fault import Fault, connect_fault
from libs.net.findings import UNROOTED, Finding, Flaw
from libs.net.peer import Peer
from libs.net.tls import TlsFailure, failure, words
from libs.net.wire import End, Phase
from services.http.answer import Answer
from services.http.spec import HttpReason, HttpSpec

# A status, its reason and a sentence: a fault of the network is one already.
Verdict = Fault
UNSEEN = Verdict(Status.UNKNOWN, Reason.PROBE_CRASHED, "The visit was not finished.")


class Ended(Protocol):
    """What a verdict needs to know about a wire."""

    end: End | None
    phase: Phase
    error: OSError | ssl.SSLError | None

    @property
    def answered(self) -> bool: ...


_TIMEOUTS: dict[Phase, tuple[Reason | HttpReason, str]] = {
    Phase.CONNECT: (Reason.CONNECT_TIMEOUT, "The connection was not accepted in time."),
    Phase.TLS: (HttpReason.TLS_TIMEOUT, "Connected, but the TLS handshake did not finish in time."),
    Phase.FIRST_BYTE: (HttpReason.FIRST_BYTE_TIMEOUT, "The request was sent, and no answer began in time."),
    Phase.TRANSFER: (HttpReason.TRANSFER_TIMEOUT, "The answer began and did not end in time."),
}
_RESETS: dict[Phase, tuple[Reason | HttpReason, str]] = {
    Phase.TLS: (HttpReason.TLS_RESET, "The connection was reset inside the TLS handshake."),
    Phase.FIRST_BYTE: (HttpReason.FIRST_BYTE_RESET, "The connection was reset before the answer began."),
    Phase.TRANSFER: (HttpReason.TRANSFER_RESET, "The connection was reset inside the answer."),
}
_TLS_SENTENCES = {
    TlsFailure.CLIENT_CERTIFICATE_REQUIRED: "The server wants a certificate from its clients",
    TlsFailure.CLIENT_CERTIFICATE_REFUSED: "The server does not take the client certificate",
    TlsFailure.NOT_SPOKEN: "What answered does not speak TLS",
    TlsFailure.FAILED: "The TLS handshake failed",
}
# RFC 7301 section 3.2: the server shares none of the protocols that we offered.
_NO_PROTOCOL = "tlsv1 alert no application protocol"
NO_PEER = Peer()


def judge(spec: HttpSpec, wire: Ended, answer: Answer, peer: Peer = NO_PEER, *, has_roots: bool) -> Verdict:
    """Returns what one finished hop means. An answer that redirects is up: where it leads decides."""
    if wire.end is End.TIMEOUT:
        return _down(*_TIMEOUTS[wire.phase])
    if wire.end is End.TLS_FAILED and isinstance(wire.error, ssl.SSLError):
        return _tls_failed(spec, wire.error, peer, has_roots=has_roots)
    if wire.end is End.BROKEN and isinstance(wire.error, OSError):
        return _broken(wire, wire.error)
    if wire.end is End.CLOSED and wire.phase is not Phase.TRANSFER:
        return _closed(wire.phase)
    return _answered(spec, answer)


def concern(spec: HttpSpec, peer: Peer) -> Verdict | None:
    """Returns what is worth a warning about certificates that were accepted."""
    soon = next((finding for finding in peer.findings if finding.flaw is Flaw.EXPIRING), None)
    if soon is None or not spec.tls_verify:
        return None
    return Verdict(Status.DEGRADED, HttpReason.TLS_EXPIRING, f"{soon.detail}.")


def too_old(spec: HttpSpec, version: str | None, *, final: bool) -> Verdict | None:
    """Returns what is wrong with the TLS version of a hop, such as "TLSv1.2"; None stands for plain HTTP."""
    if spec.tls_version_min is None or (version is None and not final):
        return None
    if version is not None and version.removeprefix("TLSv") >= spec.tls_version_min:
        return None
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
    if words(error) == _NO_PROTOCOL and spec.http_version != "any":
        detail = f"The server does not speak HTTP/{spec.http_version} ({words(error)})."
        return _down(HttpReason.HTTP_VERSION, detail)
    kind = peer.failure or failure(error)
    if isinstance(kind, Flaw):
        return _refused(peer.findings or [Finding(kind, f"The certificate was refused ({words(error)})")], has_roots)
    return _down(HttpReason(kind.value), f"{_TLS_SENTENCES[kind]} ({words(error)}).")


def _refused(findings: list[Finding], has_roots: bool) -> Verdict:
    """Returns the verdict on refused certificates: the gravest finding is the reason, the detail has them all."""
    if findings[0].flaw in UNROOTED and not has_roots:
        return Verdict(Status.UNKNOWN, HttpReason.NO_TRUST_STORE, "This machine has no root certificates to judge by.")
    return _down(HttpReason(findings[0].flaw.value), " ".join(f"{finding.detail}." for finding in findings))


def _answered(spec: HttpSpec, answer: Answer) -> Verdict:
    if answer.flaw is not None:
        return _down(answer.flaw.reason, answer.flaw.detail)
    if not answer.expected and not answer.redirects:
        expected = ", ".join(map(str, spec.expect_status))
        return _down(HttpReason.STATUS_UNEXPECTED, f"The server answered {answer.status}, not {expected}.")
    return _texts(answer) or Verdict(Status.UP, Reason.OK, f"The server answered {answer.status}.")


def _texts(answer: Answer) -> Verdict | None:
    if answer.texts is None or answer.redirects:
        return None
    if answer.texts.found is not None:
        return _down(HttpReason.BODY_MISMATCH, f"The body holds {_quoted(answer.texts.found)}.")
    if not answer.texts.missing:
        return None
    return _down(HttpReason.BODY_MISMATCH, f"The body does not hold {_quoted(answer.texts.missing[0])}.")


def _broken(wire: Ended, error: OSError) -> Verdict:
    if wire.phase is Phase.CONNECT:
        return connect_fault(error, answered=wire.answered)
    if isinstance(error, TimeoutError):
        return _down(*_TIMEOUTS[wire.phase])
    return _down(*_RESETS[wire.phase])


def _closed(phase: Phase) -> Verdict:
    if phase is Phase.TLS:
        return _down(HttpReason.TLS_RESET, "The server closed the connection inside the TLS handshake.")
    return _down(HttpReason.EMPTY_ANSWER, "The server closed the connection without an answer.")


def _quoted(text: bytes) -> str:
    shown = text.decode(errors="replace")
    return repr(shown if len(shown) <= 80 else f"{shown[:79]}…")


def _down(reason: Reason | HttpReason, detail: str) -> Verdict:
    return Verdict(Status.DOWN, reason, detail)
