"""Sans-I/O TLS sessions on memory buffers: the peer's certificates stay readable after a failed verification."""

import functools
import ssl
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from OpenSSL import SSL

from libs.net.tls import openssl
from libs.net.tls.certificates import load_certificate
from libs.net.tls.findings import CertificateProblem, TrustStore, matches_host
from libs.net.tls.trust_store import read_root_folder, root_files


class TlsFailure(StrEnum):
    """Cause of a failed handshake, other than a CertificateProblem. The values are also reasons of the TLS kinds."""

    CLIENT_CERTIFICATE_REQUIRED = "tls_client_certificate_required"
    CLIENT_CERTIFICATE_REFUSED = "tls_client_certificate_refused"
    NOT_TLS = "tls_not_spoken"
    FAILED = "tls_failed"


_UNCOMMON_CONTEXTS_MAX = 64
# X509_V_ERR_* of OpenSSL; stable for decades.
_VERIFY_CODES = {
    2: CertificateProblem.UNTRUSTED,  # unable to get issuer certificate
    9: CertificateProblem.CERTIFICATE_NOT_YET_VALID,
    10: CertificateProblem.CERTIFICATE_EXPIRED,
    18: CertificateProblem.SELF_SIGNED,
    19: CertificateProblem.UNTRUSTED,  # self-signed certificate in the chain
    20: CertificateProblem.UNTRUSTED,  # unable to get local issuer certificate
    21: CertificateProblem.UNTRUSTED,  # unable to verify the first certificate
    27: CertificateProblem.UNTRUSTED,  # root not trusted
    62: CertificateProblem.HOSTNAME_MISMATCH,
    64: CertificateProblem.HOSTNAME_MISMATCH,  # address mismatch
    66: CertificateProblem.WEAK_KEY,  # of the server itself
    67: CertificateProblem.WEAK_KEY,  # of an authority
    68: CertificateProblem.WEAK_SIGNATURE,
}
# OpenSSL's reasons for a response that is not a TLS record.
_NOT_TLS_REASONS = frozenset(
    {
        *("WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST"),
        *("PACKET_LENGTH_TOO_LONG", "DATA_LENGTH_TOO_LONG"),
    }
)
# Alerts about the client certificate or its absence. The second set has this meaning only once the server has sent
# its own certificate: TLS 1.2 has no alert for "certificate required", and earlier they mean "no common parameters".
_CERTIFICATE_REQUIRED_ALERTS = frozenset({"TLSV13_ALERT_CERTIFICATE_REQUIRED"})
_CLIENT_CERTIFICATE_ALERTS = frozenset(
    {
        *("SSLV3_ALERT_HANDSHAKE_FAILURE", "SSLV3_ALERT_NO_CERTIFICATE", "SSLV3_ALERT_BAD_CERTIFICATE"),
        *("SSLV3_ALERT_UNSUPPORTED_CERTIFICATE", "SSLV3_ALERT_CERTIFICATE_REVOKED"),
        *("SSLV3_ALERT_CERTIFICATE_EXPIRED", "SSLV3_ALERT_CERTIFICATE_UNKNOWN"),
        *("TLSV1_ALERT_UNKNOWN_CA", "TLSV1_ALERT_ACCESS_DENIED"),
    }
)


class TlsClientCertificate(NamedTuple):
    """A client certificate with the chain to its authority, and its private key, in PEM."""

    certificate_pem: str
    key_pem: str

    def __repr__(self) -> str:
        return "Identity(...)"


class TlsTooOldError(ssl.SSLError):
    """The handshake succeeded with an older TLS `version` than required."""

    def __init__(self, version: str | None) -> None:
        super().__init__()
        self.reason = ""
        self.version = version


class TlsSession:
    """One client TLS session on two memory buffers: bytes in, bytes out, no waiting.

    With a `version_min`, such as "1.3", a handshake that negotiates less fails before any application data is sent.
    OpenSSL could refuse it too, but would not report the server's version.
    """

    __slots__ = (
        "_stream",
        "_version_min",
        "closed",
        "handshake_done",
        "has_client_certificate",
        "server_name",
        "verifies",
    )

    def __init__(
        self, context: SSL.Context, server_name: str, *, has_identity: bool = False, version_min: str | None = None
    ) -> None:
        self.server_name = server_name
        self._version_min = version_min
        self._stream = openssl.OpenSslStream(context, server_name)
        self.verifies = self._stream.verifies
        self.has_client_certificate = has_identity
        self.handshake_done = False
        self.closed = False

    def do_handshake(self) -> bool:
        """Continues the handshake with the data fed so far; True when complete, ssl.SSLError when it failed.

        TlsTooOldError if it negotiated less than `version_min`.
        """
        if not self._stream.do_handshake():
            return False
        if self._stream.is_name_unchecked and not self._matches_server_name():
            raise self._stream.certificate_error()
        self.handshake_done = True
        if self._version_min is not None and (self.version or "").removeprefix("TLSv") < self._version_min:
            raise TlsTooOldError(self.version)
        return True

    def _matches_server_name(self) -> bool:
        own = next(map(load_certificate, self.sent_chain()), None)
        return own is not None and matches_host(own, self.server_name)

    def feed(self, data: bytes) -> None:
        self._stream.feed(data)

    def decrypt(self) -> bytes:
        """Returns the application data fed so far; sets `closed` when the peer sent close_notify."""
        if self.closed:
            return b""
        pieces, self.closed = self._stream.read()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def encrypt(self, data: bytes) -> bytes:
        """Returns the records that carry `data`, after any other pending output."""
        self._stream.write(data)
        return self._stream.outgoing()

    def outgoing(self) -> bytes:
        return self._stream.outgoing()

    def close_notify(self) -> bytes:
        """Returns the records that end the session (close_notify, RFC 8446 section 6.1)."""
        self._stream.shutdown()
        return self._stream.outgoing()

    @property
    def version(self) -> str | None:
        return self._stream.version if self.handshake_done else None

    @property
    def cipher(self) -> str | None:
        return self._stream.cipher

    @property
    def alpn_protocol(self) -> str | None:
        """Returns the protocol selected by ALPN; None before the handshake is done, or if none was selected."""
        return self._stream.alpn_protocol if self.handshake_done else None

    def sent_chain(self) -> list[bytes]:
        """Returns the server's certificates as sent, in DER, also after a failed handshake."""
        return self._stream.sent_chain()

    def verified_chain(self) -> list[bytes]:
        """Returns the verified chain from the server's certificate to a root, in DER; empty if there is none."""
        return self._stream.verified_chain() if self.handshake_done and self.verifies else []

    def classify_error(self, error: ssl.SSLError) -> TlsFailure | CertificateProblem:
        """Returns the meaning of an error during the handshake, or in the first records after it."""
        found = classify_error(error)
        about_ours = found is TlsFailure.CLIENT_CERTIFICATE_REQUIRED or (
            error.reason in _CLIENT_CERTIFICATE_ALERTS and found is TlsFailure.FAILED and bool(self.sent_chain())
        )
        if not about_ours:
            return found
        if self.has_client_certificate:
            return TlsFailure.CLIENT_CERTIFICATE_REFUSED
        return TlsFailure.CLIENT_CERTIFICATE_REQUIRED


class TlsContexts:
    """Client TLS contexts of this process, created once: loading root certificates takes far longer than a check.

    `alpn` is the default list of protocols to offer, in order of preference.
    """

    def __init__(self, ca_file: Path | None = None, alpn: Sequence[str] = ()) -> None:
        self._ca_file = ca_file
        self._alpn = tuple(alpn)
        # The ssl module's context locates the default roots and can list them.
        self._root_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if ca_file is None:
            self._root_context.set_default_verify_paths()
        else:
            self._root_context.load_verify_locations(ca_file)
        self._verifying = self._context(self._alpn, verify=True)
        self._lenient = self._context(self._alpn, verify=False)
        self._uncommon: dict[tuple[TlsClientCertificate | None, bool, tuple[str, ...]], SSL.Context] = {}
        self.has_roots = self._root_context.cert_store_stats()["x509_ca"] > 0 or any(root_files())

    def session(
        self,
        server_name: str,
        *,
        verify: bool,
        identity: TlsClientCertificate | None = None,
        alpn: tuple[str, ...] | None = None,
        version_min: str | None = None,
    ) -> TlsSession:
        """Returns a new session; ValueError if `identity` cannot be used."""
        if identity is None and alpn in (None, self._alpn):
            return TlsSession(self._verifying if verify else self._lenient, server_name, version_min=version_min)
        context = self._uncommon_context(identity, self._alpn if alpn is None else alpn, verify=verify)
        return TlsSession(context, server_name, has_identity=identity is not None, version_min=version_min)

    @functools.cached_property
    def trust_store(self) -> TrustStore:
        """The trusted root certificates, loaded when a chain first fails verification."""
        ders = self._root_context.get_ca_certs(binary_form=True)
        return TrustStore([*ders, *read_root_folder()] if self._ca_file is None else ders)

    def _context(self, alpn: Sequence[str], *, verify: bool) -> SSL.Context:
        context = openssl.client_context(alpn, verify=verify)
        if verify:
            openssl.load_roots(context, self._ca_file)
        return context

    def _uncommon_context(
        self, identity: TlsClientCertificate | None, alpn: tuple[str, ...], *, verify: bool
    ) -> SSL.Context:
        key = (identity, verify, alpn)
        if key not in self._uncommon:
            context = self._context(alpn, verify=verify)
            if identity is not None:
                openssl.use_certificate(context, identity.certificate_pem, identity.key_pem)
            if len(self._uncommon) >= _UNCOMMON_CONTEXTS_MAX:
                del self._uncommon[next(iter(self._uncommon))]
            self._uncommon[key] = context
        return self._uncommon[key]


def classify_error(error: ssl.SSLError) -> TlsFailure | CertificateProblem:
    """Returns the meaning of a handshake error, without the context of its session."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _VERIFY_CODES.get(error.verify_code, CertificateProblem.CERTIFICATE_INVALID)
    word = error.reason or ""
    if word in _NOT_TLS_REASONS:
        return TlsFailure.NOT_TLS
    return TlsFailure.CLIENT_CERTIFICATE_REQUIRED if word in _CERTIFICATE_REQUIRED_ALERTS else TlsFailure.FAILED


def error_text(error: ssl.SSLError) -> str:
    """Returns OpenSSL's text for an error, for the end of a sentence."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return error.reason.lower().replace("_", " ") if error.reason else "no reason given"
