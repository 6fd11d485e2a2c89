"""What TLS has to say about a target, as a verdict: the same words and sentences for every kind. Pure."""

import ssl

from libs.model.outcome import Status
from libs.model.tls import TlsReason
from libs.net.fault import Fault
from libs.net.findings import UNROOTED, Finding, Flaw
from libs.net.peer import Peer
from libs.net.tls import TlsFailure, failure, words

_SENTENCES = {
    TlsFailure.CLIENT_CERTIFICATE_REQUIRED: "The server wants a certificate from its clients",
    TlsFailure.CLIENT_CERTIFICATE_REFUSED: "The server does not take the client certificate",
    TlsFailure.NOT_SPOKEN: "What answered does not speak TLS",
    TlsFailure.FAILED: "The TLS handshake failed",
}
HANDSHAKE_TIMEOUT = Fault(
    Status.DOWN, TlsReason.TLS_TIMEOUT, "Connected, but the TLS handshake did not finish in time."
)
HANDSHAKE_RESET = Fault(Status.DOWN, TlsReason.TLS_RESET, "The connection was reset inside the TLS handshake.")
HANDSHAKE_CLOSED = Fault(Status.DOWN, TlsReason.TLS_RESET, "The server closed the connection inside the TLS handshake.")


def handshake_failed(error: ssl.SSLError, peer: Peer, *, has_roots: bool) -> Fault:
    """Returns what a failed handshake means: the gravest finding is the reason, the detail has them all."""
    kind = peer.failure or failure(error)
    if not isinstance(kind, Flaw):
        return Fault(Status.DOWN, TlsReason(kind.value), f"{_SENTENCES[kind]} ({words(error)}).")
    found = peer.findings or [Finding(kind, f"The certificate was refused ({words(error)})")]
    if found[0].flaw in UNROOTED and not has_roots:
        sentence = "This machine has no root certificates to judge by."
        return Fault(Status.UNKNOWN, TlsReason.NO_TRUST_STORE, sentence)
    return Fault(Status.DOWN, TlsReason(found[0].flaw.value), " ".join(f"{each.detail}." for each in found))


def expiring_soon(peer: Peer) -> Fault | None:
    """Returns what is worth a warning about certificates that were accepted."""
    soon = next((finding for finding in peer.findings if finding.flaw is Flaw.EXPIRING), None)
    return None if soon is None else Fault(Status.DEGRADED, TlsReason.TLS_EXPIRING, f"{soon.detail}.")
