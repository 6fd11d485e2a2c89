"""What TLS has to say about a target, as a verdict: the same words and sentences for every kind. Pure."""

import ssl

from libs.model.fields.tls import TlsReason
from libs.model.outcome import Status
from libs.net.tls.findings import UNTRUSTED_CHAIN, CertificateFinding, CertificateProblem
from libs.net.tls.peer import TlsPeer
from libs.net.tls.sessions import TlsFailure, classify_error, error_text
from libs.net.verdict import Verdict

_DETAILS = {
    TlsFailure.CLIENT_CERTIFICATE_REQUIRED: "The server wants a certificate from its clients",
    TlsFailure.CLIENT_CERTIFICATE_REFUSED: "The server does not take the client certificate",
    TlsFailure.NOT_TLS: "What answered does not speak TLS",
    TlsFailure.FAILED: "The TLS handshake failed",
}
HANDSHAKE_TIMEOUT = Verdict(
    Status.DOWN, TlsReason.TLS_TIMEOUT, "Connected, but the TLS handshake did not finish in time."
)
HANDSHAKE_RESET = Verdict(Status.DOWN, TlsReason.TLS_RESET, "The connection was reset inside the TLS handshake.")
HANDSHAKE_CLOSED = Verdict(
    Status.DOWN, TlsReason.TLS_RESET, "The server closed the connection inside the TLS handshake."
)


def handshake_verdict(error: ssl.SSLError, peer: TlsPeer, *, has_roots: bool) -> Verdict:
    """Returns what a failed handshake means: the gravest finding is the reason, the detail has them all."""
    kind = peer.failure or classify_error(error)
    if not isinstance(kind, CertificateProblem):
        return Verdict(Status.DOWN, TlsReason(kind.value), f"{_DETAILS[kind]} ({error_text(error)}).")
    found = peer.findings or [CertificateFinding(kind, f"The certificate was refused ({error_text(error)})")]
    if found[0].problem in UNTRUSTED_CHAIN and not has_roots:
        sentence = "This machine has no root certificates to judge by."
        return Verdict(Status.UNKNOWN, TlsReason.NO_TRUST_STORE, sentence)
    return Verdict(Status.DOWN, TlsReason(found[0].problem.value), " ".join(f"{each.detail}." for each in found))


def expiry_warning(peer: TlsPeer) -> Verdict | None:
    """Returns what is worth a warning about certificates that were accepted."""
    soon = next((finding for finding in peer.findings if finding.problem is CertificateProblem.EXPIRING), None)
    return None if soon is None else Verdict(Status.DEGRADED, TlsReason.TLS_EXPIRING, f"{soon.detail}.")
