"""Verdict on one hop. Pure, so every rule is tested without a server."""

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

UNFINISHED = Verdict(Status.UNKNOWN, Reason.PROBE_CRASHED, "The check was not finished.")


_TIMEOUTS = {
    Phase.CONNECT: Verdict(Status.DOWN, Reason.CONNECT_TIMEOUT, "The connection was not accepted in time."),
    Phase.TLS: HANDSHAKE_TIMEOUT,
    Phase.FIRST_BYTE: Verdict(
        Status.DOWN, HttpReason.FIRST_BYTE_TIMEOUT, "The request was sent, and no answer began in time."
    ),
    Phase.TRANSFER: Verdict(Status.DOWN, HttpReason.TRANSFER_TIMEOUT, "The response began and did not end in time."),
}
_RESETS = {
    Phase.TLS: HANDSHAKE_RESET,
    Phase.FIRST_BYTE: Verdict(
        Status.DOWN, HttpReason.FIRST_BYTE_RESET, "The connection was reset before the answer began."
    ),
    Phase.TRANSFER: Verdict(Status.DOWN, HttpReason.TRANSFER_RESET, "The connection was reset inside the answer."),
}
# RFC 7301 section 3.2: the server supports none of the offered protocols.
_NO_ALPN_PROTOCOL = "tlsv1 alert no application protocol"
NO_PEER = TlsPeer()


def judge(
    spec: HttpSpec, wire: ConnectionOutcome, exchange: HttpExchange, peer: TlsPeer = NO_PEER, *, has_roots: bool
) -> Verdict:
    """Returns the verdict on a finished hop. A redirect is up: the final response decides."""
    if exchange.decided:
        return _response_verdict(spec, exchange)
    if wire.end is End.TIMEOUT:
        return _TIMEOUTS[wire.phase]
    if wire.end is End.TLS_FAILED and isinstance(wire.error, ssl.SSLError):
        return _tls_verdict(spec, wire.error, peer, has_roots=has_roots)
    if wire.end is End.BROKEN and isinstance(wire.error, OSError):
        return _broken_verdict(wire, wire.error)
    if wire.end is End.CLOSED and wire.phase is not Phase.TRANSFER:
        return _closed_verdict(wire.phase)
    return _response_verdict(spec, exchange)


def certificate_warning(spec: HttpSpec, peer: TlsPeer) -> Verdict | None:
    """Returns a warning about accepted certificates that expire soon."""
    return expiry_warning(peer) if spec.tls_verify else None


def tls_version_verdict(spec: HttpSpec, version: Fact) -> Verdict:
    """Returns the verdict on a TLS version below the minimum, such as "TLSv1.2"; None means plain HTTP."""
    seen = "The answer came without TLS" if version is None else f"The server speaks {version}"
    return _down(HttpReason.TLS_VERSION, f"{seen}, and tls_version_min is {spec.tls_version_min}.")


def http_version_verdict(spec: HttpSpec, exchange: HttpExchange) -> Verdict | None:
    """Returns the verdict if the final response has the wrong HTTP version. With TLS, ALPN has decided already."""
    if spec.http_version != "2" or exchange.is_redirect or exchange.version == "2":
        return None
    return _down(HttpReason.HTTP_VERSION, f"The answer came over HTTP/{exchange.version}, and http_version is 2.")


def time_verdict(spec: HttpSpec, total_s: float) -> Verdict | None:
    """Returns the verdict if the check took longer than time_s_max."""
    if spec.time_s_max is None or total_s <= spec.time_s_max:
        return None
    return _down(HttpReason.TIME_EXCEEDED, f"It took {total_s:.3f} s in all, and time_s_max is {spec.time_s_max:g}.")


def _tls_verdict(spec: HttpSpec, error: ssl.SSLError, peer: TlsPeer, *, has_roots: bool) -> Verdict:
    if isinstance(error, TlsTooOldError):
        return tls_version_verdict(spec, error.version)
    if error_text(error) == _NO_ALPN_PROTOCOL and spec.http_version != "any":
        detail = f"The server does not support HTTP/{spec.http_version} ({error_text(error)})."
        return _down(HttpReason.HTTP_VERSION, detail)
    return handshake_verdict(error, peer, has_roots=has_roots)


def _response_verdict(spec: HttpSpec, exchange: HttpExchange) -> Verdict:
    if exchange.problem is not None:
        return _down(exchange.problem.reason, exchange.problem.detail)
    if not exchange.status_expected and not exchange.is_redirect:
        expected = ", ".join(map(str, spec.expect_status))
        return _down(HttpReason.STATUS_UNEXPECTED, f"The server answered {exchange.status}, not {expected}.")
    return _text_verdict(spec, exchange) or Verdict(Status.UP, Reason.OK, f"The server answered {exchange.status}.")


def _text_verdict(spec: HttpSpec, exchange: HttpExchange) -> Verdict | None:
    if exchange.text_search is None or exchange.is_redirect:
        return None
    if exchange.text_search.found is not None:
        return _down(
            HttpReason.BODY_MISMATCH, f"The body contains {quote_excerpt(exchange.text_search.found, spec.secrets)}."
        )
    if not exchange.text_search.missing:
        return None
    return _down(
        HttpReason.BODY_MISMATCH,
        f"The body does not contain {quote_excerpt(exchange.text_search.missing[0], spec.secrets)}.",
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
