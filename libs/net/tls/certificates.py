"""Certificate parsing with a cache: most checks meet a certificate seen before. Pure."""

import hashlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple, TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.utils import CryptographyDeprecationWarning
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

from libs.net.tls.distinguished_names import format_dn

NAMES_SHOWN_MAX = 16
NAME_LENGTH_MAX = 256
DN_LENGTH_MAX = 512

# Two thousand entries of a few kilobytes each; the DER bytes are not kept.
_CACHE_MAX = 2048
_STATUS_REQUEST = x509.TLSFeatureType.status_request
_WEAK_HASHES = frozenset({"md2", "md4", "md5", "sha1"})
_RSA_BITS_MIN = 2048
_EC_BITS_MIN = 224

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)

_facts_cache: "dict[bytes, CertificateFacts | None]" = {}


class CertificateFacts(NamedTuple):
    """Parsed certificate. Names are truncated to a bound; `names_count` is the full number."""

    subject: str
    issuer: str
    subject_dn: str
    issuer_dn: str
    names: tuple[str, ...]
    names_count: int
    serial: str  # in hexadecimal, two digits for each byte: leading zeros are part of it
    fingerprint: str  # SHA-256 of the DER certificate, in hexadecimal
    spki: str  # SHA-256 of the public key, in hexadecimal: unchanged when a renewal keeps the key
    key: str
    key_is_weak: bool
    signature: str
    signature_is_weak: bool
    begins_at: datetime
    expires_at: datetime
    is_self_issued: bool
    must_staple: bool
    has_issuer_url: bool  # authority information access has a CA issuers URL


def read_certificate(der: bytes) -> CertificateFacts | None:
    """Returns the facts of one certificate; None if it cannot be parsed."""
    fingerprint = hashlib.sha256(der).digest()
    if fingerprint in _facts_cache:
        return _facts_cache[fingerprint]
    if len(_facts_cache) >= _CACHE_MAX:
        del _facts_cache[next(iter(_facts_cache))]
    facts = _facts_cache[fingerprint] = _parse_facts(der, fingerprint)
    return facts


def load_certificate(der: bytes) -> x509.Certificate | None:
    """Returns the certificate object, for data beyond its facts; None if it cannot be parsed."""
    with _ignore_deprecations():
        return None if read_certificate(der) is None else x509.load_der_x509_certificate(der)


def subject_alt_names(certificate: x509.Certificate) -> tuple[list[str], list[str]]:
    """Returns all DNS names, in lower case, and all IP addresses of the subject alternative name extension."""
    names = _extension(certificate, x509.SubjectAlternativeName)
    if names is None:
        return [], []
    hosts = [name.lower() for name in names.get_values_for_type(x509.DNSName)]
    return hosts, [str(address) for address in names.get_values_for_type(x509.IPAddress)]


def _parse_facts(der: bytes, fingerprint: bytes) -> CertificateFacts | None:
    with _ignore_deprecations():
        try:
            return _build_facts(x509.load_der_x509_certificate(der), fingerprint)
        except Exception:  # noqa: BLE001 - of hostile bytes the library raises whatever its parts raise
            return None


@contextmanager
def _ignore_deprecations() -> Iterator[None]:
    """Mutes deprecation warnings of `cryptography`, such as those about serial numbers of some old roots."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        yield


def _build_facts(certificate: x509.Certificate, fingerprint: bytes) -> CertificateFacts:
    hosts, addresses = subject_alt_names(certificate)
    names = hosts + addresses
    key, key_is_weak = _describe_key(certificate)
    signature, signature_is_weak = _describe_signature(certificate)
    serial = certificate.serial_number
    return CertificateFacts(
        subject=_display_name(certificate.subject),
        issuer=_display_name(certificate.issuer),
        subject_dn=format_dn(certificate.subject)[:DN_LENGTH_MAX],
        issuer_dn=format_dn(certificate.issuer)[:DN_LENGTH_MAX],
        names=tuple(name[:NAME_LENGTH_MAX] for name in names[:NAMES_SHOWN_MAX]),
        names_count=len(names),
        serial=abs(serial).to_bytes((abs(serial).bit_length() + 7) // 8 or 1).hex(),
        fingerprint=fingerprint.hex(),
        spki=_spki_fingerprint(certificate),
        key=key,
        key_is_weak=key_is_weak,
        signature=signature,
        signature_is_weak=signature_is_weak,
        begins_at=certificate.not_valid_before_utc,
        expires_at=certificate.not_valid_after_utc,
        is_self_issued=certificate.subject == certificate.issuer,
        must_staple=_must_staple(certificate),
        has_issuer_url=_has_issuer_url(certificate),
    )


def _display_name(name: x509.Name) -> str:
    """Returns the common name, or the whole distinguished name if there is none."""
    names = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return (str(names[0].value) if names else name.rfc4514_string())[:NAME_LENGTH_MAX]


def _describe_key(certificate: x509.Certificate) -> tuple[str, bool]:
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return "unknown", False
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}", key.key_size < _RSA_BITS_MIN
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"EC {key.curve.name}", key.key_size < _EC_BITS_MIN
    if isinstance(key, dsa.DSAPublicKey):
        return f"DSA {key.key_size}", key.key_size < _RSA_BITS_MIN
    if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        return type(key).__name__.removesuffix("PublicKey"), False
    return "unknown", False


def _describe_signature(certificate: x509.Certificate) -> tuple[str, bool]:
    try:
        hashed = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        hashed = None
    name = certificate.signature_algorithm_oid._name  # noqa: SLF001  the only source of the name
    return name, hashed is not None and hashed.name in _WEAK_HASHES


def _spki_fingerprint(certificate: x509.Certificate) -> str:
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return ""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _must_staple(certificate: x509.Certificate) -> bool:
    features = _extension(certificate, x509.TLSFeature)
    return features is not None and _STATUS_REQUEST in features


def _has_issuer_url(certificate: x509.Certificate) -> bool:
    access = _extension(certificate, x509.AuthorityInformationAccess)
    return access is not None and any(
        entry.access_method == AuthorityInformationAccessOID.CA_ISSUERS for entry in access
    )


def _extension(certificate: x509.Certificate, kind: type[_Extension]) -> _Extension | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except Exception:  # noqa: BLE001 - as above, and an extension that is not there
        return None
