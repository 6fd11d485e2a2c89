"""TLS without a socket: sessions in memory, so that the peer's certificates can be read even when they are refused."""

import functools
import ssl
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.x509.oid import NameOID

_PIECE_BYTES = 65536


class TlsFailure(StrEnum):
    """Why a handshake failed. The words are also reasons of the kinds that speak TLS."""

    CERTIFICATE_EXPIRED = "tls_certificate_expired"
    CERTIFICATE_NOT_YET_VALID = "tls_certificate_not_yet_valid"
    HOSTNAME_MISMATCH = "tls_hostname_mismatch"
    SELF_SIGNED = "tls_self_signed"
    UNTRUSTED = "tls_untrusted"
    CERTIFICATE_INVALID = "tls_certificate_invalid"
    CLIENT_CERTIFICATE_REQUIRED = "tls_client_certificate_required"
    NOT_SPOKEN = "tls_not_spoken"
    FAILED = "tls_failed"


# What browsers accept for TLS 1.2; the suites of TLS 1.3 are always on.
_CIPHERS = (
    "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:ECDHE+AES:DHE+AES:RSA+AESGCM:RSA+AES:!AESCCM:!aNULL:!eNULL:@SECLEVEL=2"
)
# X509_V_ERR_* of OpenSSL, which have been stable for decades.
_VERIFY_CODES = {
    2: TlsFailure.UNTRUSTED,  # unable to get issuer certificate
    9: TlsFailure.CERTIFICATE_NOT_YET_VALID,
    10: TlsFailure.CERTIFICATE_EXPIRED,
    18: TlsFailure.SELF_SIGNED,
    19: TlsFailure.UNTRUSTED,  # self-signed certificate in the chain
    20: TlsFailure.UNTRUSTED,  # unable to get local issuer certificate
    21: TlsFailure.UNTRUSTED,  # unable to verify the first certificate
    27: TlsFailure.UNTRUSTED,  # root not trusted
    62: TlsFailure.HOSTNAME_MISMATCH,
    64: TlsFailure.HOSTNAME_MISMATCH,  # address mismatch
}
# The library's words for an answer that is no TLS record.
_NOT_TLS = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "UNKNOWN_PROTOCOL"})
_WANTS_CERTIFICATE = frozenset({"TLSV13_ALERT_CERTIFICATE_REQUIRED"})


class Leaf(NamedTuple):
    """What the peer's own certificate says."""

    subject: str
    issuer: str
    begins_at: datetime
    expires_at: datetime


class Session:
    """One TLS session between two memory buffers: bytes in, bytes out, no waiting."""

    __slots__ = ("_in", "_out", "_tls", "closed")

    def __init__(self, context: ssl.SSLContext, server_name: str) -> None:
        self._in = ssl.MemoryBIO()
        self._out = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=server_name)
        self.closed = False

    def shake(self) -> bool:
        """Takes the handshake on with what was fed; True when it is done, ssl.SSLError when it failed."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def feed(self, data: bytes) -> None:
        self._in.write(data)

    def open(self) -> bytes:
        """Returns what the peer said, as far as it is fed; sets `closed` when the peer said goodbye."""
        pieces: list[bytes] = []
        try:
            while piece := self._tls.read(_PIECE_BYTES):
                pieces.append(piece)
            self.closed = True
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
    def leaf(self) -> Leaf | None:
        """Returns the facts of the peer's certificate, also after a refused handshake; None if none came."""
        try:
            der = self._tls.getpeercert(binary_form=True)
        except ValueError:  # the handshake did not get to its end
            der = next(iter(_unverified_chain(self._tls)), None)
        return read_leaf(der) if der else None


class Trust:
    """The client contexts of this process, made once: loading root certificates takes far longer than a check."""

    def __init__(self, ca_file: Path | None = None, alpn: Sequence[str] = ()) -> None:
        self._verifying = _context(alpn)
        if ca_file is None:
            self._verifying.set_default_verify_paths()
        else:
            self._verifying.load_verify_locations(ca_file)
        self._lenient = _context(alpn)
        self._lenient.check_hostname = False
        self._lenient.verify_mode = ssl.CERT_NONE
        self.has_roots = self._verifying.cert_store_stats()["x509_ca"] > 0 or _has_root_folder()

    def session(self, server_name: str, *, verify: bool) -> Session:
        return Session(self._verifying if verify else self._lenient, server_name)


def failure(error: ssl.SSLError) -> TlsFailure:
    """Returns which failure an error of the handshake is."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _VERIFY_CODES.get(error.verify_code, TlsFailure.CERTIFICATE_INVALID)
    word = error.reason or ""
    if word in _NOT_TLS:
        return TlsFailure.NOT_SPOKEN
    return TlsFailure.CLIENT_CERTIFICATE_REQUIRED if word in _WANTS_CERTIFICATE else TlsFailure.FAILED


def words(error: ssl.SSLError) -> str:
    """Returns the library's own words for an error, for the end of a sentence."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return (error.reason or "no reason given").lower().replace("_", " ")


@functools.lru_cache(maxsize=2048)
def read_leaf(der: bytes) -> Leaf | None:
    """Returns the facts of one certificate; None if it cannot be read. Most checks meet a certificate they know."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        return Leaf(
            subject=_common_name(certificate.subject),
            issuer=_common_name(certificate.issuer),
            begins_at=certificate.not_valid_before_utc,
            expires_at=certificate.not_valid_after_utc,
        )
    except ValueError:
        return None


def _common_name(name: x509.Name) -> str:
    names = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value)[:256] if names else ""


def _context(alpn: Sequence[str]) -> ssl.SSLContext:
    """Returns a context whose rules are all said here: the interpreter's defaults move from version to version."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags = ssl.VERIFY_X509_TRUSTED_FIRST
    context.set_ciphers(_CIPHERS)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def _has_root_folder() -> bool:
    folder = ssl.get_default_verify_paths().capath
    return any(Path(folder).iterdir()) if folder else False


def _unverified_chain(tls: ssl.SSLObject) -> list[bytes]:
    """Returns the certificates as sent, in DER. The method became public with Python 3.13."""
    public = getattr(tls, "get_unverified_chain", None)
    if public is not None:
        return list(public() or ())
    private = tls._sslobj.get_unverified_chain()  # type: ignore[attr-defined]  # noqa: SLF001
    return [certificate.public_bytes(2) for certificate in private or ()]  # 2 is _ssl.ENCODING_DER
