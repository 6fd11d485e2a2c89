"""A certificate authority for one test run, and the certificates that good and broken servers show."""

import datetime as dt
import hashlib
import ipaddress
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

DAY = dt.timedelta(days=1)
MUST_STAPLE = x509.TLSFeature([x509.TLSFeatureType.status_request])
TELLS_ISSUER = x509.AuthorityInformationAccess(
    [
        x509.AccessDescription(
            AuthorityInformationAccessOID.CA_ISSUERS, x509.UniformResourceIdentifier("http://ca.example/ca.der")
        )
    ]
)

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class PublicKeyHolder(Protocol):
    """A private key of any kind."""

    def public_key(self) -> Any: ...


class Authority:
    """Signs certificates for names and addresses; `ca_file` is what a client has to trust."""

    def __init__(
        self, folder: Path, name: str = "Vedette test authority", above: Self | None = None, key: Key | None = None
    ) -> None:
        self._folder = folder
        self._name = _name(name)
        self._key: Key = key or ec.generate_private_key(ec.SECP256R1())
        self._now = dt.datetime.now(dt.UTC)
        self._above = above
        self.certificate = self.certify(self._name, self._key, (-1, 3650)) if above is None else above.vouch(self)
        self.ca_file = folder / f"{name}.pem"
        self.ca_file.write_bytes(pem(self.certificate))

    def vouch(self, other: "Authority", days: tuple[float, float] = (-1, 3650)) -> x509.Certificate:
        """Returns a certificate for the key of another authority."""
        return self.certify(other._name, other._key, days)

    def certify(self, subject: x509.Name, key: Key, days: tuple[float, float]) -> x509.Certificate:
        """Returns the certificate of an authority."""
        return (
            self._builder(subject, self._name, key, days)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def server(
        self,
        *hosts: str,
        key: Key | None = None,
        chain: Sequence[x509.Certificate] | None = None,
        **options: Any,
    ) -> ssl.SSLContext:
        """Returns the context of a server for `hosts`, with a certificate made by `issue` with these options.

        It sends `chain` after its own certificate: by default the one of this authority if another stands above it.
        """
        key = key or ec.generate_private_key(ec.SECP256R1())
        certificate = self.issue(*hosts, key=key, **options)
        if chain is None:
            chain = [] if self._above is None else [self.certificate]
        return self._context(key, [certificate, *chain])

    def issue(
        self,
        *hosts: str,
        key: PublicKeyHolder,
        days: tuple[float, float] = (-1, 90),
        self_signed: bool = False,
        usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH,
        common_name: str = "",
        sha1: bool = False,
        extensions: Sequence[x509.ExtensionType] = (),
    ) -> x509.Certificate:
        """Returns a certificate for `hosts` and `key`, valid from and to so many days from now."""
        subject = _name(common_name or hosts[0])
        issuer, signer = (subject, key) if self_signed else (self._name, self._key)
        builder = self._builder(subject, issuer, key, days)
        if hosts:
            names = x509.SubjectAlternativeName([_alternative(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        for extension in (x509.ExtendedKeyUsage([usage]), *extensions):
            builder = builder.add_extension(extension, critical=False)
        certificate = builder.sign(signer, hashes.SHA256())
        if sha1:
            assert isinstance(signer, rsa.RSAPrivateKey)
            return signed_by_sha1(certificate, signer)
        return certificate

    def server_file(self, *hosts: str) -> Path:
        """Returns a file with the key and the certificate of a server for `hosts`, in PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([_alternative(host) for host in hosts])
        builder = self._builder(_name(hosts[0]), self._name, key, (-1, 90)).add_extension(names, critical=False)
        return self._written(key, [builder.sign(self._key, hashes.SHA256())])

    def client(self, name: str = "a client") -> tuple[str, str]:
        """Returns the certificate of a client and its key, in PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        builder = self._builder(_name(name), self._name, key, (-1, 90)).add_extension(usage, critical=False)
        return pem(builder.sign(self._key, hashes.SHA256())).decode(), _key_pem(key).decode()

    def _builder(
        self, subject: x509.Name, issuer: x509.Name, key: PublicKeyHolder, days: tuple[float, float]
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now + DAY * days[0])
            .not_valid_after(self._now + DAY * days[1])
        )

    def _context(self, key: Key, certificates: Sequence[x509.Certificate]) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.load_cert_chain(self._written(key, certificates))
        return context

    def _written(self, key: Key, certificates: Sequence[x509.Certificate]) -> Path:
        file = self._folder / f"{certificates[0].serial_number:x}.pem"
        file.write_bytes(_key_pem(key) + b"".join(map(pem, certificates)))
        return file


def signed_by_sha1(certificate: x509.Certificate, signer: rsa.RSAPrivateKey) -> x509.Certificate:
    """Returns a certificate with the signature that the library refuses to make: PKCS #1 v1.5 by hand (RFC 8017)."""
    word = bytes.fromhex("2a864886f70d0101")
    der = certificate.public_bytes(serialization.Encoding.DER).replace(word + b"\x0b", word + b"\x05")
    tbs = certificate.tbs_certificate_bytes.replace(word + b"\x0b", word + b"\x05")
    digest = bytes.fromhex("3021300906052b0e03021a05000414") + hashlib.sha1(tbs).digest()
    size = signer.key_size // 8
    padded = b"\x00\x01" + b"\xff" * (size - len(digest) - 3) + b"\x00" + digest
    numbers = signer.private_numbers()
    signature = pow(int.from_bytes(padded), numbers.d, numbers.public_numbers.n).to_bytes(size)
    return x509.load_der_x509_certificate(der[:-size] + signature)


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: Key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
