"""From what was seen on one hop to a verdict. Pure, so that every rule has a test without a server."""

import ssl

from libs.model.outcome import Fact, Reason, Status
from libs.net.exchange import ConnectionOutcome, End, Phase
from libs.net.tls.peer import TlsPeer
from libs.net.tls.sessions import TlsTooOldError, error_text
from libs.net.tls.verdicts import (
    HANDSHAKE_CLOSED,
    HANDSHAKE_RESET,
    HANDSHAKE_TIMEOUT,
    expiry_warning,
    handshake_verdict,
)
from libs.net.verdict import Verdict, connect_verdict
from services.http.client.exchange import HttpExchange
from services.http.redaction.redact import quote_excerpt
from services.http.spec import HttpReason, HttpSpec

# A status, its reason and a sentence: a fault of the network is one already.
UNFINISHED = Verdict(Status.UNKNOWN, Reason.PROBE_CRASHED, "The visit was not finished.")


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
_NO_ALPN_PROTOCOL = "tlsv1 alert no application protocol"
NO_PEER = TlsPeer()


def judge(
    spec: HttpSpec, wire: ConnectionOutcome, answer: HttpExchange, peer: TlsPeer = NO_PEER, *, has_roots: bool
) -> Verdict:
    """Returns what one finished hop means. An answer that redirects is up: where it leads decides."""
    if answer.decided:
        return _response_verdict(spec, answer)
    if wire.end is End.TIMEOUT:
        return _TIMEOUTS[wire.phase]
    if wire.end is End.TLS_FAILED and isinstance(wire.error, ssl.SSLError):
        return _tls_verdict(spec, wire.error, peer, has_roots=has_roots)
    if wire.end is End.BROKEN and isinstance(wire.error, OSError):
        return _broken_verdict(wire, wire.error)
    if wire.end is End.CLOSED and wire.phase is not Phase.TRANSFER:
        return _closed_verdict(wire.phase)
    return _response_verdict(spec, answer)


def certificate_warning(spec: HttpSpec, peer: TlsPeer) -> Verdict | None:
    """Returns what is worth a warning about certificates that were accepted."""
    return expiry_warning(peer) if spec.tls_verify else None


def tls_version_verdict(spec: HttpSpec, version: Fact) -> Verdict:
    """Returns what is wrong with the TLS version of a hop, such as "TLSv1.2"; None stands for plain HTTP."""
    seen = "The answer came without TLS" if version is None else f"The server speaks {version}"
    return _down(HttpReason.TLS_VERSION, f"{seen}, and tls_version_min is {spec.tls_version_min}.")


def http_version_verdict(spec: HttpSpec, answer: HttpExchange) -> Verdict | None:
    """Returns what is wrong with the last answer's HTTP version. Over TLS, the handshake has decided already."""
    if spec.http_version != "2" or answer.is_redirect or answer.version == "2":
        return None
    return _down(HttpReason.HTTP_VERSION, f"The answer came over HTTP/{answer.version}, and http_version is 2.")


def time_verdict(spec: HttpSpec, total_s: float) -> Verdict | None:
    """Returns what is wrong with the time that everything took."""
    if spec.time_s_max is None or total_s <= spec.time_s_max:
        return None
    return _down(HttpReason.TIME_EXCEEDED, f"It took {total_s:.3f} s in all, and time_s_max is {spec.time_s_max:g}.")


def _tls_verdict(spec: HttpSpec, error: ssl.SSLError, peer: TlsPeer, *, has_roots: bool) -> Verdict:
    if isinstance(error, TlsTooOldError):
        return tls_version_verdict(spec, error.version)
    if error_text(error) == _NO_ALPN_PROTOCOL and spec.http_version != "any":
        detail = f"The server does not speak HTTP/{spec.http_version} ({error_text(error)})."
        return _down(HttpReason.HTTP_VERSION, detail)
    return handshake_verdict(error, peer, has_roots=has_roots)


def _response_verdict(spec: HttpSpec, answer: HttpExchange) -> Verdict:
    if answer.problem is not None:
        return _down(answer.problem.reason, answer.problem.detail)
    if not answer.status_expected and not answer.is_redirect:
        expected = ", ".join(map(str, spec.expect_status))
        return _down(HttpReason.STATUS_UNEXPECTED, f"The server answered {answer.status}, not {expected}.")
    return _text_verdict(spec, answer) or Verdict(Status.UP, Reason.OK, f"The server answered {answer.status}.")


def _text_verdict(spec: HttpSpec, answer: HttpExchange) -> Verdict | None:
    if answer.text_search is None or answer.is_redirect:
        return None
    if answer.text_search.found is not None:
        return _down(
            HttpReason.BODY_MISMATCH, f"The body holds {quote_excerpt(answer.text_search.found, spec.secrets)}."
        )
    if not answer.text_search.missing:
        return None
    return _down(
        HttpReason.BODY_MISMATCH,
        f"The body does not hold {quote_excerpt(answer.text_search.missing[0], spec.secrets)}.",
    )


def _broken_verdict(wire: ConnectionOutcome, error: OSError) -> Verdict:
    if wire.phase is Phase.CONNECT:
        return connect_verdict(error, answered=wire.answered)
    if isinstance(error, TimeoutError):
        return _TIMEOUTS[wire.phase]
    return _RESETS[wire.phase]


def _closed_verdict(phase: Phase) -> Verdict:
    if phase is Phase.TLS:
        return HANDSHAKE_CLOSED
    return _down(HttpReason.EMPTY_ANSWER, "The server closed the connection without an answer.")


def _down(reason: HttpReason, detail: str) -> Verdict:
    return Verdict(Status.DOWN, reason, detail)
