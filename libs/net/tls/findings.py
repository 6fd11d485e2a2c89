"""All problems of a server's certificate chain: a TLS handshake reports only the first. Pure."""

import ipaddress
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from libs.net.tls.certificates import CertificateFacts, load_certificate, read_certificate, subject_alt_names

# A hostile chain of a hundred similar certificates must not cost ten thousand signature checks.
_SIGNATURES_MAX = 32
_DEPTH_MAX = 10
_PATHS_MAX = 512
# Upper bound of the warning period: a ten-year certificate is not "expiring" two years before its end.
_EXPIRING_MAX = timedelta(days=30)
# Lower bound for lifetimes from _SHORT_LIVED; for shorter ones the fraction alone decides.
_EXPIRING_MIN = timedelta(days=3)
_SHORT_LIVED = timedelta(days=47)


class CertificateProblem(StrEnum):
    """Problem of a certificate, most severe first. The values are also reasons of the kinds that use TLS."""

    SELF_SIGNED = "tls_self_signed"
    UNTRUSTED = "tls_untrusted"
    INCOMPLETE_CHAIN = "tls_incomplete_chain"
    CERTIFICATE_EXPIRED = "tls_certificate_expired"
    CERTIFICATE_NOT_YET_VALID = "tls_certificate_not_yet_valid"
    HOSTNAME_MISMATCH = "tls_hostname_mismatch"
    WEAK_KEY = "tls_weak_key"
    WEAK_SIGNATURE = "tls_weak_signature"
    CERTIFICATE_INVALID = "tls_certificate_invalid"
    EXPIRING = "tls_expiring"


# The three ways in which a chain does not end at a trusted root.
UNTRUSTED_CHAIN = frozenset(
    {CertificateProblem.SELF_SIGNED, CertificateProblem.UNTRUSTED, CertificateProblem.INCOMPLETE_CHAIN}
)
_SEVERITY = {flaw: place for place, flaw in enumerate(CertificateProblem)}


class CertificateFinding(NamedTuple):
    """One problem, with the sentence that describes it."""

    problem: CertificateProblem
    detail: str


class CertificatePath(NamedTuple):
    """Chain from the leaf as far as signatures verify; `anchored` if it ends at a trusted root."""

    certificates: tuple[x509.Certificate, ...]
    anchored: bool

    @property
    def facts(self) -> list[CertificateFacts]:
        found = (read_certificate(certificate.public_bytes(Encoding.DER)) for certificate in self.certificates)
        return [facts for facts in found if facts is not None]


class TrustStore:
    """Trusted root certificates, with a cache of the paths built to them."""

    def __init__(self, ders: Iterable[bytes]) -> None:
        self._by_subject: dict[bytes, list[x509.Certificate]] = {}
        for der in ders:
            certificate = load_certificate(der)
            if certificate is not None:
                self._by_subject.setdefault(certificate.subject.public_bytes(), []).append(certificate)
        self._paths: dict[tuple[int | str, ...], CertificatePath | None] = {}

    def __contains__(self, certificate: x509.Certificate) -> bool:
        return certificate in self._by_subject.get(certificate.subject.public_bytes(), ())

    def issuers(self, certificate: x509.Certificate) -> list[x509.Certificate]:
        """Returns the roots whose subject is the issuer of `certificate`."""
        return self._by_subject.get(certificate.issuer.public_bytes(), [])

    def best_path(self, chain: Sequence[bytes], now: datetime) -> CertificatePath | None:
        """Returns the best path from the first certificate of `chain`; None if it cannot be parsed."""
        known = (facts.fingerprint for facts in map(read_certificate, chain) if facts is not None)
        key: tuple[int | str, ...] = (now.toordinal(), *known)
        if key not in self._paths:
            if len(self._paths) >= _PATHS_MAX:
                del self._paths[next(iter(self._paths))]
            self._paths[key] = self._find_path(chain, now)
        return self._paths[key]

    def _find_path(self, chain: Sequence[bytes], now: datetime) -> CertificatePath | None:
        sent = [certificate for certificate in map(load_certificate, chain) if certificate is not None]
        if not sent or load_certificate(chain[0]) is None:
            return None
        # Of two certificates with the same name and key, the one that is currently valid is preferred.
        sent[1:] = sorted(sent[1:], key=lambda each: not _is_valid_at(each, now))
        return _PathBuilder(self, sent).extend((sent[0],))


class _PathBuilder:
    """Depth-first path search with a limited number of signature checks."""

    def __init__(self, roots: TrustStore, sent: list[x509.Certificate]) -> None:
        self._roots = roots
        self._sent = sent
        self._budget = _SIGNATURES_MAX

    def extend(self, below: tuple[x509.Certificate, ...]) -> CertificatePath:
        top = below[-1]
        best = CertificatePath(below, top in self._roots)
        if best.anchored or len(below) >= _DEPTH_MAX:
            return best
        for issuer in (*self._roots.issuers(top), *(each for each in self._sent if each.subject == top.issuer)):
            if issuer in below or not self._check_signature(top, issuer):
                continue
            found = self.extend((*below, issuer))
            if found.anchored:
                return found
            best = max(best, found, key=lambda path: len(path.certificates))
        return best

    def _check_signature(self, certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
        self._budget -= 1
        return self._budget >= 0 and is_signed_by(certificate, issuer)


def is_signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Returns whether the key of `issuer` signed `certificate`.

    For MD5 and SHA-1 only the names are compared: `cryptography` does not verify those, and they are a finding anyway.
    """
    facts = read_certificate(certificate.public_bytes(Encoding.DER))
    if facts is not None and facts.signature_is_weak:
        return certificate.issuer == issuer.subject
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def find_problems(
    chain: Sequence[bytes], server_name: str, roots: TrustStore, now: datetime
) -> list[CertificateFinding]:
    """Returns all problems of a chain as sent, leaf first, for the requested server name."""
    path = roots.best_path(chain, now)
    if path is None:
        return [CertificateFinding(CertificateProblem.CERTIFICATE_INVALID, "The certificate cannot be read")]
    facts = path.facts
    found = [
        *_trust_findings(path, facts),
        *_validity_findings(facts, now),
        *_name_findings(path.certificates[0], server_name),
    ]
    found += _weakness_findings(facts[:-1] if path.anchored and len(facts) > 1 else facts)
    return by_severity(found)


def by_severity(found: Iterable[CertificateFinding]) -> list[CertificateFinding]:
    """Returns the findings, most severe first."""
    return sorted(found, key=lambda finding: _SEVERITY[finding.problem])


def find_expiring(chain: Iterable[CertificateFacts], fraction: float, now: datetime) -> CertificateFinding | None:
    """Returns a finding for the first certificate with less than `fraction` of its lifetime left, but not expired."""
    for facts in chain:
        left = facts.expires_at - now
        if left > _EXPIRING_MAX or not fraction:
            continue
        lifetime = facts.expires_at - facts.begins_at
        least = _EXPIRING_MIN if lifetime >= _SHORT_LIVED else timedelta()
        if timedelta() < left < max(lifetime * fraction, least):
            return CertificateFinding(
                CertificateProblem.EXPIRING, f"The certificate of {facts.subject!r} expires in {_format_duration(left)}"
            )
    return None


def matches_host(certificate: x509.Certificate, server_name: str) -> bool:
    """Returns whether a certificate is valid for a host name or an address, by RFC 6125.

    A wildcard matches one whole label, and not in names with an underscore, as in OpenSSL; the common name is ignored.
    """
    hosts, addresses = subject_alt_names(certificate)
    try:
        return str(ipaddress.ip_address(server_name)) in addresses
    except ValueError:
        name = server_name.lower().rstrip(".")
    label, _, parent = name.partition(".")
    return name in hosts or (bool(label) and "." in parent and "_" not in name and f"*.{parent}" in hosts)


def _trust_findings(path: CertificatePath, facts: list[CertificateFacts]) -> list[CertificateFinding]:
    if path.anchored or not facts:
        return []
    top = path.certificates[-1]
    title = facts[-1].issuer
    if facts[-1].is_self_issued and is_signed_by(top, top):
        if len(facts) == 1:
            return [CertificateFinding(CertificateProblem.SELF_SIGNED, "The certificate is signed by itself")]
        return [CertificateFinding(CertificateProblem.UNTRUSTED, f"This machine does not trust the root {title!r}")]
    if facts[-1].has_issuer_url:
        return [
            CertificateFinding(
                CertificateProblem.INCOMPLETE_CHAIN, f"The server did not send the certificate of the issuer {title!r}"
            )
        ]
    return [
        CertificateFinding(
            CertificateProblem.UNTRUSTED, f"The issuer {title!r} was not sent and is not trusted by this machine"
        )
    ]


def _validity_findings(path: list[CertificateFacts], now: datetime) -> list[CertificateFinding]:
    found = []
    for facts in path:
        if facts.expires_at < now:
            span = _format_duration(now - facts.expires_at)
            found.append(
                CertificateFinding(
                    CertificateProblem.CERTIFICATE_EXPIRED, f"The certificate of {facts.subject!r} expired {span} ago"
                )
            )
        if facts.begins_at > now:
            span = _format_duration(facts.begins_at - now)
            detail = f"The certificate of {facts.subject!r} is not valid before {span} from now"
            found.append(CertificateFinding(CertificateProblem.CERTIFICATE_NOT_YET_VALID, detail))
    return found


def _name_findings(leaf: x509.Certificate, server_name: str) -> list[CertificateFinding]:
    if matches_host(leaf, server_name):
        return []
    hosts, addresses = subject_alt_names(leaf)
    names = hosts + addresses
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    shown = ", ".join(name[:80] for name in names[:3]) or "no name"
    return [
        CertificateFinding(
            CertificateProblem.HOSTNAME_MISMATCH, f"The certificate is not for {server_name}, but for {shown}{more}"
        )
    ]


def _weakness_findings(path: list[CertificateFacts]) -> list[CertificateFinding]:
    """Returns weak keys and signatures; the signature of a self-issued certificate protects nothing and is skipped."""
    keys = [
        CertificateFinding(
            CertificateProblem.WEAK_KEY, f"The certificate of {facts.subject!r} has a weak key, {facts.key}"
        )
        for facts in path
        if facts.key_is_weak
    ]
    signatures = [
        CertificateFinding(
            CertificateProblem.WEAK_SIGNATURE,
            f"The certificate of {facts.subject!r} has a weak signature, {facts.signature}",
        )
        for facts in path
        if facts.signature_is_weak and not facts.is_self_issued
    ]
    return keys + signatures


def _is_valid_at(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def _format_duration(span: timedelta) -> str:
    hours = span.total_seconds() / 3600
    return (
        f"{hours / 24:.0f} days" if hours >= 48 else f"{hours:.0f} hours" if hours >= 2 else f"{hours * 60:.0f} minutes"
    )
