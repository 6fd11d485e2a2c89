"""TLS without a socket: sessions in memory, so that the peer's certificates can be read even when they are refused."""

import functools
import os
import re
import ssl
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from libs.net.findings import Flaw, Roots
from libs.net.roots import root_files, roots_of_folder

# One record (RFC 8446 section 5.1): the library never gives more at once.
_PIECE_BYTES = 16384


class TlsFailure(StrEnum):
    """Why a handshake failed, certificates apart (Flaw). The words are also reasons of the kinds that speak TLS."""

    CLIENT_CERTIFICATE_REQUIRED = "tls_client_certificate_required"
    CLIENT_CERTIFICATE_REFUSED = "tls_client_certificate_refused"
    NOT_SPOKEN = "tls_not_spoken"
    FAILED = "tls_failed"


# What browsers accept for TLS 1.2; the suites of TLS 1.3 are always on.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:ECDHE+AES:DHE+AES:RSA+AESGCM:RSA+AES:!AESCCM:!aNULL:!eNULL"
# 112 bits of security and more; a certificate that is taken as it is may be as weak as it likes.
_STRICT = "@SECLEVEL=2"
_LENIENT = "@SECLEVEL=0"
_RARE_MAX = 64
_SAID = re.compile(r"\[SSL[^]]*\] (.+) \(_ssl\.c")
# X509_V_ERR_* of OpenSSL, which have been stable for decades.
_VERIFY_CODES = {
    2: Flaw.UNTRUSTED,  # unable to get issuer certificate
    9: Flaw.CERTIFICATE_NOT_YET_VALID,
    10: Flaw.CERTIFICATE_EXPIRED,
    18: Flaw.SELF_SIGNED,
    19: Flaw.UNTRUSTED,  # self-signed certificate in the chain
    20: Flaw.UNTRUSTED,  # unable to get local issuer certificate
    21: Flaw.UNTRUSTED,  # unable to verify the first certificate
    27: Flaw.UNTRUSTED,  # root not trusted
    62: Flaw.HOSTNAME_MISMATCH,
    64: Flaw.HOSTNAME_MISMATCH,  # address mismatch
    66: Flaw.WEAK_KEY,  # of the server itself
    67: Flaw.WEAK_KEY,  # of an authority
    68: Flaw.WEAK_SIGNATURE,
}
# The library's words for an answer that is no TLS record.
_NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "UNKNOWN_PROTOCOL"})
# Alerts about the client's certificate, or about its absence. The second set says so only once the server has shown
# its own certificate: TLS 1.2 has no alert for "I want yours", and before that it means "no common parameters".
_WANTS_CERTIFICATE = frozenset({"TLSV13_ALERT_CERTIFICATE_REQUIRED"})
_ABOUT_CERTIFICATE = frozenset(
    {
        *("SSLV3_ALERT_HANDSHAKE_FAILURE", "SSLV3_ALERT_NO_CERTIFICATE", "SSLV3_ALERT_BAD_CERTIFICATE"),
        *("SSLV3_ALERT_UNSUPPORTED_CERTIFICATE", "SSLV3_ALERT_CERTIFICATE_REVOKED"),
        *("SSLV3_ALERT_CERTIFICATE_EXPIRED", "SSLV3_ALERT_CERTIFICATE_UNKNOWN"),
        *("TLSV1_ALERT_UNKNOWN_CA", "TLSV1_ALERT_ACCESS_DENIED"),
    }
)


class Identity(NamedTuple):
    """What a client shows of itself: its certificate, with the chain to its authority, and the key to it."""

    certificate_pem: str
    key_pem: str

    def __repr__(self) -> str:
        return "Identity(...)"


class TlsTooOldError(ssl.SSLError):
    """The handshake went well, with an older `version` than was wanted."""

    def __init__(self, version: str | None) -> None:
        super().__init__()
        self.reason = ""
        self.version = version


class Session:
    """One TLS session between two memory buffers: bytes in, bytes out, no waiting.

    With a `version_min`, such as "1.3", a handshake that agrees on less fails: nothing is ever said over it. The
    library would refuse it too, but could not say what the server speaks.
    """

    __slots__ = (
        *("_in", "_out", "_tls", "_version_min", "closed", "has_identity", "server_name", "shaken", "verifies"),
    )

    def __init__(
        self, context: ssl.SSLContext, server_name: str, *, has_identity: bool = False, version_min: str | None = None
    ) -> None:
        self.server_name = server_name
        self._version_min = version_min
        self.verifies = context.verify_mode is ssl.CERT_REQUIRED
        self.has_identity = has_identity
        self.shaken = False
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=server_name)
        self.closed = False

    def shake(self) -> bool:
        """Takes the handshake on with what was fed; True when it is done, ssl.SSLError when it failed.

        TlsTooOldError when it agreed on less than `version_min`.
        """
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        self.shaken = True
        if self._version_min is not None and (self.version or "").removeprefix("TLSv") < self._version_min:
            raise TlsTooOldError(self.version)
        return True

    def feed(self, data: bytes) -> None:
        self._in.write(data)

    def open(self) -> bytes:
        """Returns what the peer said, as far as it is fed; sets `closed` when the peer said goodbye."""
        pieces: list[bytes] = []
        try:
            # Reading when nothing is there raises an error, which costs more than a small page.
            while self._in.pending or self._tls.pending():
                piece = self._tls.read(_PIECE_BYTES)
                if not piece:
                    self.closed = True
                    break
                pieces.append(piece)
        except ssl.SSLWantReadError:
            pass
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def seal(self, data: bytes) -> bytes:
        """Returns the records that carry `data`, with whatever else waits to be sent."""
        self._tls.write(data)
        return self._out.read()

    def outgoing(self) -> bytes:
        return self._out.read()

    @property
    def version(self) -> str | None:
        return self._tls.version()

    @property
    def cipher(self) -> str | None:
        cipher = self._tls.cipher()
        return cipher[0] if cipher else None

    @property
    def protocol(self) -> str | None:
        """Returns what was agreed on to speak next, by ALPN; None before that, and when the server agreed to nothing."""
        return self._tls.selected_alpn_protocol() if self.shaken else None

    def sent(self) -> list[bytes]:
        """Returns the server's certificates as it sent them, in DER, also after a refused handshake."""
        return _chain(self._tls, "get_unverified_chain")

    def verified(self) -> list[bytes]:
        """Returns the chain that was verified, from the server's certificate to a root; empty if none was."""
        return _chain(self._tls, "get_verified_chain") if self.shaken and self.verifies else []

    def failure(self, error: ssl.SSLError) -> TlsFailure | Flaw:
        """Returns what an error of the handshake, or of the first words after it, means."""
        found = failure(error)
        about_ours = found is TlsFailure.CLIENT_CERTIFICATE_REQUIRED or (
            error.reason in _ABOUT_CERTIFICATE and found is TlsFailure.FAILED and bool(self.sent())
        )
        if not about_ours:
            return found
        if self.has_identity:
            return TlsFailure.CLIENT_CERTIFICATE_REFUSED
        return TlsFailure.CLIENT_CERTIFICATE_REQUIRED


class Trust:
    """The client contexts of this process, made once: loading root certificates takes far longer than a check.

    `alpn` is what a session offers to speak, in order of preference, if it is not told otherwise.
    """

    def __init__(self, ca_file: Path | None = None, alpn: Sequence[str] = ()) -> None:
        self._ca_file = ca_file
        self._alpn = tuple(alpn)
        self._verifying = self._context(self._alpn, verify=True)
        self._lenient = self._context(self._alpn, verify=False)
        self._rare: dict[tuple[Identity | None, bool, tuple[str, ...]], ssl.SSLContext] = {}
        self.has_roots = self._verifying.cert_store_stats()["x509_ca"] > 0 or any(root_files())

    def session(
        self,
        server_name: str,
        *,
        verify: bool,
        identity: Identity | None = None,
        alpn: tuple[str, ...] | None = None,
        version_min: str | None = None,
    ) -> Session:
        """Returns a new session; ValueError if `identity` cannot be used."""
        if identity is None and alpn in (None, self._alpn):
            return Session(self._verifying if verify else self._lenient, server_name, version_min=version_min)
        context = self._rarer(identity, self._alpn if alpn is None else alpn, verify=verify)
        return Session(context, server_name, has_identity=identity is not None, version_min=version_min)

    @functools.cached_property
    def roots(self) -> Roots:
        """The root certificates one by one, read when a chain is first in doubt."""
        ders = self._verifying.get_ca_certs(binary_form=True)
        return Roots([*ders, *roots_of_folder()] if self._ca_file is None else ders)

    def _context(self, alpn: Sequence[str], *, verify: bool) -> ssl.SSLContext:
        context = _context(alpn, _STRICT if verify else _LENIENT)
        if not verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif self._ca_file is None:
            context.set_default_verify_paths()
        else:
            context.load_verify_locations(self._ca_file)
        return context

    def _rarer(self, identity: Identity | None, alpn: tuple[str, ...], *, verify: bool) -> ssl.SSLContext:
        key = (identity, verify, alpn)
        if key not in self._rare:
            context = self._context(alpn, verify=verify)
            if identity is not None:
                _load(context, identity)
            if len(self._rare) >= _RARE_MAX:
                del self._rare[next(iter(self._rare))]
            self._rare[key] = context
        return self._rare[key]


def failure(error: ssl.SSLError) -> TlsFailure | Flaw:
    """Returns what an error of a handshake says by itself."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _VERIFY_CODES.get(error.verify_code, Flaw.CERTIFICATE_INVALID)
    word = error.reason or ""
    if word in _NOT_TLS:
        return TlsFailure.NOT_SPOKEN
    return TlsFailure.CLIENT_CERTIFICATE_REQUIRED if word in _WANTS_CERTIFICATE else TlsFailure.FAILED


def words(error: ssl.SSLError) -> str:
    """Returns the library's own words for an error, for the end of a sentence."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if error.reason:
        return error.reason.lower().replace("_", " ")
    # Python has no names for some of OpenSSL's reasons; the words stand in the message.
    said = _SAID.match(str(error))
    return said[1] if said else "no reason given"


def _context(alpn: Sequence[str], level: str) -> ssl.SSLContext:
    """Returns a context whose rules are all said here: the interpreter's defaults move from version to version."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags = ssl.VERIFY_X509_TRUSTED_FIRST
    context.hostname_checks_common_name = False
    context.set_ciphers(f"{_CIPHERS}:{level}")
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def _load(context: ssl.SSLContext, identity: Identity) -> None:
    """Hands an identity to a context, which reads files only: one in memory, so that no key touches a disk."""
    descriptor = os.memfd_create("identity")
    try:
        os.write(descriptor, f"{identity.certificate_pem}\n{identity.key_pem}\n".encode())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        reason = words(error) if isinstance(error, ssl.SSLError) else "the key is encrypted"
        raise ValueError(f"the client certificate cannot be used: {reason}") from None
    finally:
        os.close(descriptor)


def _no_password() -> str:
    """Stands where OpenSSL would ask the terminal."""
    raise ValueError


def _chain(tls: ssl.SSLObject, method: str) -> list[bytes]:
    """Returns certificates in DER. The methods became public with Python 3.13."""
    public = getattr(tls, method, None)
    if public is not None:
        return list(public() or ())
    private = getattr(tls._sslobj, method)()  # type: ignore[attr-defined]  # noqa: SLF001
    return [certificate.public_bytes(2) for certificate in private or ()]  # 2 is _ssl.ENCODING_DER
