"""Option `client_certificate`. Pure."""

import re

import msgspec

PEM_LENGTH_MAX = 64 * 1024

_CERTIFICATES_PEM = re.compile(r"(?:\s*-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----)+\s*")
_KEY_PEM = re.compile(r"\s*-----BEGIN ((?:RSA |EC )?PRIVATE KEY)-----[A-Za-z0-9+/=\s]+-----END \1-----\s*")

# Passes validation where the sealed values are not available.
CERTIFICATE_PLACEHOLDER = {
    "certificate_pem": "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----",
    "key_pem": "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----",
}


class ClientCertificate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Client certificate, leaf first with its intermediates, and its private key, in PEM."""

    certificate_pem: str
    key_pem: str

    def __repr__(self) -> str:
        return "ClientCertificate(...)"


def check_client_certificate(certificate: ClientCertificate, *, secure: bool) -> None:
    """Raises ValueError if this cannot be a certificate and its key. The message does not contain the value."""
    if not secure:
        raise ValueError("client_certificate needs a url of https://")
    if max(len(certificate.certificate_pem), len(certificate.key_pem)) > PEM_LENGTH_MAX:
        raise ValueError(f"client_certificate must have at most {PEM_LENGTH_MAX} characters in each of its parts")
    if not _CERTIFICATES_PEM.fullmatch(certificate.certificate_pem):
        raise ValueError("client_certificate must have certificates in PEM, and nothing else, in certificate_pem")
    if not _KEY_PEM.fullmatch(certificate.key_pem):
        raise ValueError("client_certificate must have one private key in PEM, not encrypted, in key_pem")
