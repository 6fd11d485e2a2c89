"""Client-side binding to the OpenSSL bundled with `cryptography`: contexts, and streams on memory BIOs.

Used for speed: the interpreter links the system's OpenSSL, often 3.0, whose handshakes cost half as much again.
Contexts are pyOpenSSL's. Streams use the bindings below it: pyOpenSSL connections cost a tenth of a handshake more,
and cannot set the expected host.
"""

import contextlib
import functools
import ipaddress
import re
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL
from OpenSSL._util import ffi, lib

# Cipher suites that browsers accept for TLS 1.2; those of TLS 1.3 are always enabled.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:ECDHE+AES:DHE+AES:RSA+AESGCM:RSA+AES:!AESCCM:!aNULL:!eNULL"
# At least 112 bits of security; without verification any strength is accepted.
_SECURITY_LEVEL_STRICT = "@SECLEVEL=2"
_SECURITY_LEVEL_LENIENT = "@SECLEVEL=0"
# Without the hybrid groups, whose key share alone costs a fifth of a handshake: a check has no long-term secret.
# The finite field groups are for TLS 1.3 servers that support nothing else.
_GROUPS = b"X25519:P-256:X448:P-521:P-384:ffdhe2048:ffdhe3072:ffdhe4096:ffdhe6144:ffdhe8192"
# One record (RFC 8446 section 5.1): SSL_read never returns more at once.
_RECORD_BYTES_MAX = 16384
_MEMORY_BIO = lib.BIO_s_mem()
# Only subject alternative names are compared, and a wildcard matches a whole label.
_HOST_FLAGS = lib.X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | lib.X509_CHECK_FLAG_NEVER_CHECK_SUBJECT
# RFC 6066 section 3 allows more, OpenSSL does not.
_NAME_LENGTH_MAX = 255
HOST_MISMATCH, _ADDRESS_MISMATCH = 62, 64
# Queued after the actual reason.
_RECORD_LAYER = "record layer failure"
_RENAMED_ALERT = re.compile(r"^(SSL/)?TLS_ALERT")
_allocate = ffi.new_allocator(should_clear_after_alloc=False)


class TlsError(ssl.SSLError):
    """Failed handshake or record; `reason` is OpenSSL's reason in the spelling of the ssl module."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CertificateRefusedError(ssl.SSLCertVerificationError):
    """Failed certificate verification: `verify_code` is an X509_V_ERR_* number, `verify_message` its text."""

    def __init__(self, verify_code: int, verify_message: str) -> None:
        super().__init__(verify_message)
        self.reason = "CERTIFICATE_VERIFY_FAILED"
        self.verify_code = verify_code
        self.verify_message = verify_message


class _ExpectedHost(NamedTuple):
    name: bytes
    address: bytes  # empty for a name


class OpenSslStream:
    """Client side of a TLS connection on two memory BIOs. `server_name` is verified if the context verifies.

    OpenSSL does not accept every name for verification: `is_name_unchecked` is then True, and the reader of the chain
    must compare it. ValueError if the name is empty, too long, or starts with a dot.
    """

    __slots__ = ("_buffer", "_host", "_in", "_out", "_ssl", "is_name_unchecked", "verifies")

    def __init__(self, context: SSL.Context, server_name: str) -> None:
        self._host = host = _parse_host(server_name)
        self._ssl = tls = ffi.gc(_check_alloc(lib.SSL_new(context._context)), lib.SSL_free)  # noqa: SLF001
        # SSL_set_bio transfers ownership of both.
        self._in, self._out = _check_alloc(lib.BIO_new(_MEMORY_BIO)), _check_alloc(lib.BIO_new(_MEMORY_BIO))
        lib.SSL_set_bio(tls, self._in, self._out)
        lib.SSL_set_connect_state(tls)
        self._buffer = _allocate("char[]", _RECORD_BYTES_MAX)
        if not host.address:
            lib.SSL_set_tlsext_host_name(tls, host.name)
        self.verifies = context.get_verify_mode() == SSL.VERIFY_PEER
        self.is_name_unchecked = self.verifies and not _set_expected_host(tls, host)

    def do_handshake(self) -> bool:
        """Continues the handshake; True when complete, TlsError or CertificateRefusedError when it failed."""
        lib.ERR_clear_error()
        result = lib.SSL_do_handshake(self._ssl)
        return result == 1 or self._wants_more(result)

    def feed(self, data: bytes) -> None:
        if data and lib.BIO_write(self._in, data, len(data)) != len(data):
            raise MemoryError

    def read(self) -> tuple[list[bytes], bool]:
        """Returns the decrypted data of the records fed so far, and whether the peer sent close_notify."""
        pieces: list[bytes] = []
        lib.ERR_clear_error()
        while (length := lib.SSL_read(self._ssl, self._buffer, _RECORD_BYTES_MAX)) > 0:
            pieces.append(ffi.buffer(self._buffer, length)[:])
        if lib.SSL_get_error(self._ssl, length) == lib.SSL_ERROR_ZERO_RETURN:
            return pieces, True
        self._wants_more(length)
        return pieces, False

    def write(self, data: bytes) -> None:
        if not data:
            return
        lib.ERR_clear_error()
        result = lib.SSL_write(self._ssl, data, len(data))
        if result <= 0:
            self._wants_more(result)

    def shutdown(self) -> None:
        """Queues close_notify. Pending data or errors of the peer are ignored."""
        lib.SSL_shutdown(self._ssl)
        lib.ERR_clear_error()

    def outgoing(self) -> bytes:
        """Returns and removes the bytes to send."""
        pieces: list[bytes] = []
        while (length := lib.BIO_read(self._out, self._buffer, _RECORD_BYTES_MAX)) > 0:
            pieces.append(ffi.buffer(self._buffer, length)[:])
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    @property
    def version(self) -> str:
        """The negotiated version, such as "TLSv1.3"; meaningless before the handshake is complete."""
        return str(ffi.string(lib.SSL_get_version(self._ssl)), "ascii")

    @property
    def cipher(self) -> str | None:
        cipher = lib.SSL_get_current_cipher(self._ssl)
        return None if cipher == ffi.NULL else str(ffi.string(lib.SSL_CIPHER_get_name(cipher)), "ascii")

    @property
    def alpn_protocol(self) -> str | None:
        """The protocol selected by the server through ALPN."""
        data, length = ffi.new("unsigned char **"), ffi.new("unsigned int *")
        lib.SSL_get0_alpn_selected(self._ssl, data, length)
        return str(ffi.buffer(data[0], length[0])[:], "ascii", "replace") if length[0] else None

    def sent_chain(self) -> list[bytes]:
        """Returns the certificates sent by the server, in DER."""
        return _chain_to_der(lib.SSL_get_peer_cert_chain(self._ssl))

    def verified_chain(self) -> list[bytes]:
        """Returns the verified chain up to a root, in DER."""
        return _chain_to_der(lib.SSL_get0_verified_chain(self._ssl))

    def _wants_more(self, result: int) -> bool:
        """Returns False if OpenSSL only needs more data from the peer; raises any other error."""
        if lib.SSL_get_error(self._ssl, result) == lib.SSL_ERROR_WANT_READ:
            return False
        reason = _pop_error_reason()
        code = lib.SSL_get_verify_result(self._ssl)
        if reason == "CERTIFICATE_VERIFY_FAILED" and code:
            raise self.certificate_error(code)
        raise TlsError(reason)

    def certificate_error(self, code: int = HOST_MISMATCH) -> CertificateRefusedError:
        """Returns the exception for an X509_V_ERR_* code."""
        kind = {HOST_MISMATCH: "Hostname", _ADDRESS_MISMATCH: "IP address"}.get(code)
        if kind is None:
            return CertificateRefusedError(code, str(ffi.string(lib.X509_verify_cert_error_string(code)), "ascii"))
        message = f"{kind} mismatch, certificate is not valid for '{self._host.name.decode()}'."
        return CertificateRefusedError(code, message)


def client_context(alpn: Sequence[str], *, verify: bool) -> SSL.Context:
    """Returns a client context with explicit settings: OpenSSL's defaults change between versions."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(SSL.OP_ALL | SSL.OP_NO_COMPRESSION)
    context.clear_mode(lib.SSL_MODE_ENABLE_PARTIAL_WRITE)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_cipher_list(f"{_CIPHERS}:{_SECURITY_LEVEL_STRICT if verify else _SECURITY_LEVEL_LENIENT}".encode())
    if lib.SSL_CTX_set1_curves_list(context._context, _GROUPS) != 1:  # noqa: SLF001
        raise TlsError(_pop_error_reason())
    context.set_verify(SSL.VERIFY_PEER if verify else SSL.VERIFY_NONE)
    if alpn:
        context.set_alpn_protos([protocol.encode() for protocol in alpn])
    return context


def load_roots(context: SSL.Context, ca_file: Path | None) -> None:
    """Loads the roots of `ca_file`, or the default ones of the interpreter's OpenSSL, which may not exist."""
    if ca_file is not None:
        context.load_verify_locations(str(ca_file))
        return
    paths = ssl.get_default_verify_paths()
    for file, folder in ((paths.cafile, None), (None, paths.capath)):
        if file or folder:
            with contextlib.suppress(SSL.Error):
                context.load_verify_locations(file, folder)


def use_certificate(context: SSL.Context, certificate_pem: str, key_pem: str) -> None:
    """Configures a client certificate with its chain; ValueError if it cannot be used."""
    try:
        own, *chain = x509.load_pem_x509_certificates(f"{certificate_pem}\n{key_pem}".encode())
        context.use_certificate(own)
        for certificate in chain:
            context.add_extra_chain_cert(certificate)
        context.use_privatekey(load_pem_private_key(key_pem.encode(), None))  # type: ignore[arg-type]
    except SSL.Error as error:
        reason = str(error.args[0][-1][-1]) if error.args and error.args[0] else "refused"
    except TypeError:
        reason = "the key is encrypted"
    except UnsupportedAlgorithm:
        reason = "the key is of an unknown kind"
    except ValueError:
        reason = "it cannot be read"
    else:
        return
    raise ValueError(f"the client certificate cannot be used: {reason}")


def _set_expected_host(tls: object, host: _ExpectedHost) -> bool:
    """Sets the host to verify; False if OpenSSL does not accept the name.

    Since 4.0 it rejects names of one letter and labels that end with a dash. Some servers have such names.
    """
    rules = lib.SSL_get0_param(tls)
    lib.X509_VERIFY_PARAM_set_hostflags(rules, _HOST_FLAGS)
    if host.address:
        return bool(lib.X509_VERIFY_PARAM_set1_ip(rules, host.address, len(host.address)))
    return bool(lib.X509_VERIFY_PARAM_set1_host(rules, host.name, len(host.name)))


@functools.lru_cache(maxsize=2048)
def _parse_host(server_name: str) -> _ExpectedHost:
    if not server_name or server_name.startswith(".") or len(server_name) > _NAME_LENGTH_MAX:
        raise ValueError("the name of a server has 1 to 255 characters, the first one no dot")
    try:
        return _ExpectedHost(server_name.encode("ascii"), ipaddress.ip_address(server_name).packed)
    except ValueError:
        return _ExpectedHost(server_name.encode("idna"), b"")


def _check_alloc(pointer: object) -> object:
    if pointer == ffi.NULL:
        raise MemoryError
    return pointer


def _pop_error_reason() -> str:
    """Empties OpenSSL's error queue; returns the last reason, such as "WRONG_VERSION_NUMBER"."""
    reason = ""
    while code := lib.ERR_get_error():
        found = lib.ERR_reason_error_string(code)
        text = "" if found == ffi.NULL else str(ffi.string(found), "ascii", "replace")
        reason = reason if reason and text == _RECORD_LAYER else text
    # OpenSSL has renamed these alerts twice; the ssl module has not.
    return _RENAMED_ALERT.sub("SSLV3_ALERT", reason.upper().replace(" ", "_"))


def _chain_to_der(stack: object) -> list[bytes]:
    if stack == ffi.NULL:
        return []
    return [_to_der(lib.sk_X509_value(stack, place)) for place in range(lib.sk_X509_num(stack))]


def _to_der(certificate: object) -> bytes:
    written = _check_alloc(lib.BIO_new(_MEMORY_BIO))
    try:
        if lib.i2d_X509_bio(written, certificate) != 1:
            raise MemoryError
        data = ffi.new("char **")
        return bytes(ffi.buffer(data[0], length)) if (length := lib.BIO_get_mem_data(written, data)) else b""
    finally:
        lib.BIO_free(written)
