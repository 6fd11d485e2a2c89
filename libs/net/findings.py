"""What is wrong with the certificates of a server, all of it: a handshake ends at the first thing it dislikes. Pure."""

import ipaddress
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from libs.net.certificates import Facts, alternatives, load, read

# A hostile chain of a hundred look-alikes must not cost a hundred times a hundred signatures.
_SIGNATURES_MAX = 32
_DEPTH_MAX = 10
_PATHS_MAX = 512
# A certificate of ten years is not "expiring" two years before its end.
_EXPIRING_MAX = timedelta(days=30)
# Nor does one of many weeks leave anybody less than this; those of a few days live by their fraction alone.
_EXPIRING_MIN = timedelta(days=3)
_SHORT_LIVED = timedelta(days=47)


class Flaw(StrEnum):
    """What can be wrong with a certificate, the gravest first. The words are also reasons of the kinds that speak TLS."""

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


# Three names for one question: does a root that we trust stand behind the certificate?
UNROOTED = frozenset({Flaw.SELF_SIGNED, Flaw.UNTRUSTED, Flaw.INCOMPLETE_CHAIN})
_ORDER = {flaw: place for place, flaw in enumerate(Flaw)}


class Finding(NamedTuple):
    """One thing that is wrong, and the sentence that says so."""

    flaw: Flaw
    detail: str


class Path(NamedTuple):
    """From the leaf up as far as signatures carry; `anchored` when they carry to a root that is trusted."""

    certificates: tuple[x509.Certificate, ...]
    anchored: bool

    @property
    def facts(self) -> list[Facts]:
        found = (read(certificate.public_bytes(Encoding.DER)) for certificate in self.certificates)
        return [facts for facts in found if facts is not None]


class Roots:
    """The certificates that are trusted, and the paths that were found to them."""

    def __init__(self, ders: Iterable[bytes]) -> None:
        self._by_subject: dict[bytes, list[x509.Certificate]] = {}
        for der in ders:
            certificate = load(der)
            if certificate is not None:
                self._by_subject.setdefault(certificate.subject.public_bytes(), []).append(certificate)
        self._paths: dict[tuple[int | str, ...], Path | None] = {}

    def __contains__(self, certificate: x509.Certificate) -> bool:
        return certificate in self._by_subject.get(certificate.subject.public_bytes(), ())

    def issuers(self, certificate: x509.Certificate) -> list[x509.Certificate]:
        """Returns those whose name stands as the issuer of `certificate`."""
        return self._by_subject.get(certificate.issuer.public_bytes(), [])

    def path(self, chain: Sequence[bytes], now: datetime) -> Path | None:
        """Returns the best path from the first of `chain`; None if that cannot be read."""
        known = (facts.fingerprint for facts in map(read, chain) if facts is not None)
        key: tuple[int | str, ...] = (now.toordinal(), *known)
        if key not in self._paths:
            if len(self._paths) >= _PATHS_MAX:
                del self._paths[next(iter(self._paths))]
            self._paths[key] = self._find(chain, now)
        return self._paths[key]

    def _find(self, chain: Sequence[bytes], now: datetime) -> Path | None:
        sent = [certificate for certificate in map(load, chain) if certificate is not None]
        if not sent or load(chain[0]) is None:
            return None
        # Where two certificates have one name and one key, the one that is in its time makes the path.
        sent[1:] = sorted(sent[1:], key=lambda each: not _in_time(each, now))
        return _Climb(self, sent).up((sent[0],))


class _Climb:
    """One search for a path, within its budget of signatures."""

    def __init__(self, roots: Roots, sent: list[x509.Certificate]) -> None:
        self._roots = roots
        self._sent = sent
        self._budget = _SIGNATURES_MAX

    def up(self, below: tuple[x509.Certificate, ...]) -> Path:
        top = below[-1]
        best = Path(below, top in self._roots)
        if best.anchored or len(below) >= _DEPTH_MAX:
            return best
        for issuer in (*self._roots.issuers(top), *(each for each in self._sent if each.subject == top.issuer)):
            if issuer in below or not self._signed(top, issuer):
                continue
            found = self.up((*below, issuer))
            if found.anchored:
                return found
            best = max(best, found, key=lambda path: len(path.certificates))
        return best

    def _signed(self, certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
        self._budget -= 1
        return self._budget >= 0 and is_signed(certificate, issuer)


def is_signed(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Tells whether the key of `issuer` signed `certificate`.

    A signature by MD5 or SHA-1 is taken at the word of the names: the library does not check it, and it is a finding.
    """
    facts = read(certificate.public_bytes(Encoding.DER))
    if facts is not None and facts.signature_is_weak:
        return certificate.issuer == issuer.subject
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def findings(chain: Sequence[bytes], server_name: str, roots: Roots, now: datetime) -> list[Finding]:
    """Returns all that is wrong with a chain as it was sent, leaf first, for the name that was asked for."""
    path = roots.path(chain, now)
    if path is None:
        return [Finding(Flaw.CERTIFICATE_INVALID, "The certificate cannot be read")]
    facts = path.facts
    found = [*_trust(path, facts), *_times(facts, now), *_names(path.certificates[0], server_name)]
    found += _weaknesses(facts[:-1] if path.anchored and len(facts) > 1 else facts)
    return in_order(found)


def in_order(found: Iterable[Finding]) -> list[Finding]:
    """Returns the findings with the gravest first."""
    return sorted(found, key=lambda finding: _ORDER[finding.flaw])


def expiring(chain: Iterable[Facts], fraction: float, now: datetime) -> Finding | None:
    """Returns the first certificate with less than `fraction` of its lifetime left; one that has expired is not it."""
    for facts in chain:
        left = facts.expires_at - now
        if left > _EXPIRING_MAX or not fraction:
            continue
        lifetime = facts.expires_at - facts.begins_at
        least = _EXPIRING_MIN if lifetime >= _SHORT_LIVED else timedelta()
        if timedelta() < left < max(lifetime * fraction, least):
            return Finding(Flaw.EXPIRING, f"The certificate of {facts.subject!r} expires in {_span(left)}")
    return None


def is_for(certificate: x509.Certificate, server_name: str) -> bool:
    """Tells whether a certificate is for a name or an address, by RFC 6125.

    A wildcard stands for one whole label, and for none of a name with an underscore, as in OpenSSL; the common name
    stands for nothing.
    """
    hosts, addresses = alternatives(certificate)
    try:
        return str(ipaddress.ip_address(server_name)) in addresses
    except ValueError:
        name = server_name.lower().rstrip(".")
    label, _, parent = name.partition(".")
    return name in hosts or (bool(label) and "." in parent and "_" not in name and f"*.{parent}" in hosts)


def _trust(path: Path, facts: list[Facts]) -> list[Finding]:
    if path.anchored or not facts:
        return []
    top = path.certificates[-1]
    title = facts[-1].issuer
    if facts[-1].is_self_issued and is_signed(top, top):
        if len(facts) == 1:
            return [Finding(Flaw.SELF_SIGNED, "The certificate is signed by itself")]
        return [Finding(Flaw.UNTRUSTED, f"This machine does not trust the root {title!r}")]
    if facts[-1].issuer_is_told:
        return [Finding(Flaw.INCOMPLETE_CHAIN, f"The server did not send the certificate of the issuer {title!r}")]
    return [Finding(Flaw.UNTRUSTED, f"The issuer {title!r} was not sent and is none that this machine trusts")]


def _times(path: list[Facts], now: datetime) -> list[Finding]:
    found = []
    for facts in path:
        if facts.expires_at < now:
            span = _span(now - facts.expires_at)
            found.append(Finding(Flaw.CERTIFICATE_EXPIRED, f"The certificate of {facts.subject!r} expired {span} ago"))
        if facts.begins_at > now:
            span = _span(facts.begins_at - now)
            detail = f"The certificate of {facts.subject!r} is not valid yet, but in {span}"
            found.append(Finding(Flaw.CERTIFICATE_NOT_YET_VALID, detail))
    return found


def _names(leaf: x509.Certificate, server_name: str) -> list[Finding]:
    if is_for(leaf, server_name):
        return []
    hosts, addresses = alternatives(leaf)
    names = hosts + addresses
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    shown = ", ".join(name[:80] for name in names[:3]) or "no name at all"
    return [Finding(Flaw.HOSTNAME_MISMATCH, f"The certificate is not for {server_name}, but for {shown}{more}")]


def _weaknesses(path: list[Facts]) -> list[Finding]:
    """Returns the weak keys and signatures; a signature of one's own on oneself protects nothing and is not one."""
    keys = [
        Finding(Flaw.WEAK_KEY, f"The certificate of {facts.subject!r} has a weak key, {facts.key}")
        for facts in path
        if facts.key_is_weak
    ]
    signatures = [
        Finding(Flaw.WEAK_SIGNATURE, f"The certificate of {facts.subject!r} has a weak signature, {facts.signature}")
        for facts in path
        if facts.signature_is_weak and not facts.is_self_issued
    ]
    return keys + signatures


def _in_time(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def _span(span: timedelta) -> str:
    hours = span.total_seconds() / 3600
    return (
        f"{hours / 24:.0f} days" if hours >= 48 else f"{hours:.0f} hours" if hours >= 2 else f"{hours * 60:.0f} minutes"
    )
