"""Verdicts on TLS handshakes and certificates, with the same reasons and sentences for every kind. Pure."""

import ssl

from libs.model.fields.tls import TlsReason
from libs.model.outcome import Status
from libs.net.tls.findings import UNTRUSTED_CHAIN, CertificateFinding, CertificateProblem
from libs.net.tls.peer import TlsPeer
from libs.net.tls.sessions import TlsFailure, classify_error, error_text
from libs.net.verdict import Verdict

_DETAILS = {
    TlsFailure.CLIENT_CERTIFICATE_REQUIRED: "The server requires a client certificate",
    TlsFailure.CLIENT_CERTIFICATE_REFUSED: "The server rejected the client certificate",
    TlsFailure.NOT_TLS: "The response is not TLS",
    TlsFailure.FAILED: "The TLS handshake failed",
}
HANDSHAKE_TIMEOUT = Verdict(
    Status.DOWN, TlsReason.TLS_TIMEOUT, "Connected, but the TLS handshake did not finish in time."
)
HANDSHAKE_RESET = Verdict(Status.DOWN, TlsReason.TLS_RESET, "The connection was reset during the TLS handshake.")
HANDSHAKE_CLOSED = Verdict(
    Status.DOWN, TlsReason.TLS_RESET, "The server closed the connection during the TLS handshake."
)


def handshake_verdict(error: ssl.SSLError, peer: TlsPeer, *, has_roots: bool) -> Verdict:
    """Returns the verdict on a failed handshake: the most severe finding is the reason, the detail lists all."""
    kind = peer.failure or classify_error(error)
    if not isinstance(kind, CertificateProblem):
        return Verdict(Status.DOWN, TlsReason(kind.value), f"{_DETAILS[kind]} ({error_text(error)}).")
    found = peer.findings or [CertificateFinding(kind, f"The certificate was refused ({error_text(error)})")]
    if found[0].problem in UNTRUSTED_CHAIN and not has_roots:
        sentence = "This machine has no root certificates to verify with."
        return Verdict(Status.UNKNOWN, TlsReason.NO_TRUST_STORE, sentence)
    return Verdict(Status.DOWN, TlsReason(found[0].problem.value), " ".join(f"{each.detail}." for each in found))


def expiry_warning(peer: TlsPeer) -> Verdict | None:
    """Returns a `degraded` verdict if an accepted certificate expires soon, otherwise None."""
    soon = next((finding for finding in peer.findings if finding.problem is CertificateProblem.EXPIRING), None)
    return None if soon is None else Verdict(Status.DEGRADED, TlsReason.TLS_EXPIRING, f"{soon.detail}.")
