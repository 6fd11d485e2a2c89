"""Facts and findings about a server, read from a TLS session."""

import functools
import itertools
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from libs.model.outcome import Fact
from libs.net.tls.certificates import CertificateFacts, read_certificate
from libs.net.tls.findings import (
    UNTRUSTED_CHAIN,
    CertificateFinding,
    CertificateProblem,
    by_severity,
    find_expiring,
    find_problems,
)
from libs.net.tls.sessions import TlsContexts, TlsFailure, TlsSession, classify_error, error_text

# Bound on the certificates listed as facts.
_CHAIN_SHOWN_MAX = 6


@dataclass(frozen=True, slots=True)
class TlsPeer:
    """A server's certificates, as sent and as verified; `verified_chain` is empty if verification failed."""

    sent_chain: tuple[CertificateFacts, ...] = ()
    verified_chain: tuple[CertificateFacts, ...] = ()
    findings: list[CertificateFinding] = field(default_factory=list)
    failure: TlsFailure | CertificateProblem | None = None  # cause of a failed handshake
    facts: dict[str, Fact] = field(default_factory=dict)

    @property
    def leaf(self) -> CertificateFacts | None:
        return self.sent_chain[0] if self.sent_chain else None

    @property
    def chain_expires_at(self) -> datetime | None:
        """Earliest expiry date in the verified chain."""
        return min((facts.expires_at for facts in self.verified_chain), default=None)


def inspect_peer(
    session: TlsSession,
    trust: TlsContexts,
    now: datetime,
    *,
    expiry_fraction: float,
    error: BaseException | None = None,
) -> TlsPeer:
    """Returns the facts and findings of `session`. `error` is the exception that ended its handshake, if any."""
    chain = session.sent_chain()
    sent, verified = _read_chain(chain), _read_chain(session.verified_chain())
    found: list[CertificateFinding] = []
    if chain and not verified:
        found = find_problems(chain, session.server_name, trust.trust_store, now)
        if isinstance(error, ssl.SSLCertVerificationError):
            found = _add_handshake_finding(found, error)
    soon = find_expiring(verified or sent[:1], expiry_fraction, now)
    if soon is not None:
        found = [*found, soon]
    failed = session.classify_error(error) if isinstance(error, ssl.SSLError) else None
    return TlsPeer(sent, verified, found, failed, session_facts(session) | _peer_facts(sent, verified, found))


def session_facts(session: TlsSession) -> dict[str, Fact]:
    """Returns the negotiated version, cipher and protocol."""
    facts: dict[str, Fact] = {}
    if session.version is not None:
        facts = {"tls_version": session.version, "tls_cipher": session.cipher}
    if session.alpn_protocol is not None:
        facts["tls_alpn"] = session.alpn_protocol
    return facts


def _add_handshake_finding(
    found: list[CertificateFinding], error: ssl.SSLCertVerificationError
) -> list[CertificateFinding]:
    """Returns the findings including OpenSSL's own: it checks rules that find_problems does not."""
    flaw = classify_error(error)
    if not isinstance(flaw, CertificateProblem) or any(
        each.problem is flaw or {each.problem, flaw} <= UNTRUSTED_CHAIN for each in found
    ):
        return found
    return by_severity([*found, CertificateFinding(flaw, f"The certificate was refused ({error_text(error)})")])


def _read_chain(chain: Sequence[bytes]) -> tuple[CertificateFacts, ...]:
    return tuple(facts for facts in map(read_certificate, chain) if facts is not None)


def _peer_facts(
    sent: tuple[CertificateFacts, ...], verified: tuple[CertificateFacts, ...], found: list[CertificateFinding]
) -> dict[str, Fact]:
    facts: dict[str, Fact] = {}
    if sent:
        facts |= _leaf_facts(sent[0])
        facts |= _chain_facts(sent, verified)
    if found:
        facts["tls_findings"] = ", ".join(dict.fromkeys(finding.problem for finding in found))
        facts |= {f"tls_finding_{place}": f"{finding.detail}." for place, finding in enumerate(found, 1)}
    return facts


@functools.lru_cache(maxsize=2048)
def _leaf_facts(leaf: CertificateFacts) -> dict[str, Fact]:
    more = f", and {leaf.names_count - len(leaf.names)} more" if leaf.names_count > len(leaf.names) else ""
    facts: dict[str, Fact] = {
        "tls_subject": leaf.subject,
        "tls_issuer": leaf.issuer,
        "tls_subject_dn": leaf.subject_dn,
        "tls_issuer_dn": leaf.issuer_dn,
        "tls_names": ", ".join(leaf.names) + more,
        "tls_serial": leaf.serial,
        "tls_fingerprint_sha256": leaf.fingerprint,
        "tls_spki_sha256": leaf.spki,
        "tls_key": leaf.key,
        "tls_signature": leaf.signature,
        "tls_begins_at": _format_time(leaf.begins_at),
        "tls_expires_at": _format_time(leaf.expires_at),
    }
    return facts | {"tls_must_staple": True} if leaf.must_staple else facts


@functools.lru_cache(maxsize=2048)
def _chain_facts(sent: tuple[CertificateFacts, ...], verified: tuple[CertificateFacts, ...]) -> dict[str, Fact]:
    """Returns one line for each certificate as sent, and irregularities of the chain."""
    facts: dict[str, Fact] = {
        f"tls_chain_{place}": f"{each.subject} by {each.issuer} until {_format_time(each.expires_at)}, {each.key}"
        for place, each in enumerate(sent[:_CHAIN_SHOWN_MAX], 1)
    }
    facts["tls_chain_sent"] = len(sent)
    facts["tls_chain_sent_expires_at"] = _format_time(min(each.expires_at for each in sent))
    if any(upper.subject != lower.issuer for lower, upper in itertools.pairwise(sent)):
        facts["tls_chain_disordered"] = True
    if verified and (extra := len(set(sent) - set(verified))):
        facts["tls_chain_extra"] = extra
    if any(each.is_self_issued for each in sent[1:]):
        facts["tls_chain_root_sent"] = True
    if verified:
        facts["tls_chain_expires_at"] = _format_time(min(each.expires_at for each in verified))
    return facts


def _format_time(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
