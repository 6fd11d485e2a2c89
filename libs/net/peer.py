"""What a server showed of itself in TLS: facts to read, findings to judge by."""

import functools
import itertools
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from libs.model.outcome import Fact
from libs.net.certificates import Facts, read
from libs.net.findings import UNROOTED, Finding, Flaw, expiring, findings, in_order
from libs.net.tls import Session, TlsFailure, Trust, failure, words

# A server may send as many certificates as it likes; nobody wants to read them all.
_CHAIN_SHOWN_MAX = 6


@dataclass(frozen=True, slots=True)
class Peer:
    """A server's certificates: `verified` is the chain to a root if the handshake found one."""

    sent: tuple[Facts, ...] = ()
    verified: tuple[Facts, ...] = ()
    findings: list[Finding] = field(default_factory=list)
    failure: TlsFailure | Flaw | None = None  # what ended the handshake
    facts: dict[str, Fact] = field(default_factory=dict)

    @property
    def leaf(self) -> Facts | None:
        return self.sent[0] if self.sent else None

    @property
    def chain_expires_at(self) -> datetime | None:
        """When the verified chain breaks: with the first of its members that expires."""
        return min((facts.expires_at for facts in self.verified), default=None)


def look(
    session: Session, trust: Trust, now: datetime, *, expiry_fraction: float, error: BaseException | None = None
) -> Peer:
    """Returns what `session` saw. `error` is how its handshake ended, if it ended badly."""
    chain = session.sent()
    sent, verified = _read(chain), _read(session.verified())
    found: list[Finding] = []
    if chain and not verified:
        found = findings(chain, session.server_name, trust.roots, now)
        if isinstance(error, ssl.SSLCertVerificationError):
            found = _with_verdict(found, error)
    soon = expiring(verified or sent[:1], expiry_fraction, now)
    if soon is not None:
        found = [*found, soon]
    failed = session.failure(error) if isinstance(error, ssl.SSLError) else None
    return Peer(sent, verified, found, failed, session_facts(session) | _facts(sent, verified, found))


def session_facts(session: Session) -> dict[str, Fact]:
    """Returns what both sides agreed on."""
    facts: dict[str, Fact] = {}
    if session.version is not None:
        facts = {"tls_version": session.version, "tls_cipher": session.cipher}
    if session.protocol is not None:
        facts["tls_alpn"] = session.protocol
    return facts


def _with_verdict(found: list[Finding], error: ssl.SSLCertVerificationError) -> list[Finding]:
    """Returns the findings with the handshake's own verdict among them: it knows rules that we do not."""
    flaw = failure(error)
    if not isinstance(flaw, Flaw) or any(each.flaw is flaw or {each.flaw, flaw} <= UNROOTED for each in found):
        return found
    return in_order([*found, Finding(flaw, f"The certificate was refused ({words(error)})")])


def _read(chain: Sequence[bytes]) -> tuple[Facts, ...]:
    return tuple(facts for facts in map(read, chain) if facts is not None)


def _facts(sent: tuple[Facts, ...], verified: tuple[Facts, ...], found: list[Finding]) -> dict[str, Fact]:
    facts: dict[str, Fact] = {}
    if sent:
        facts |= _leaf_facts(sent[0])
        facts |= _chain_facts(sent, verified)
    if found:
        facts["tls_findings"] = ", ".join(dict.fromkeys(finding.flaw for finding in found))
        facts |= {f"tls_finding_{place}": f"{finding.detail}." for place, finding in enumerate(found, 1)}
    return facts


@functools.lru_cache(maxsize=2048)
def _leaf_facts(leaf: Facts) -> dict[str, Fact]:
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
        "tls_begins_at": _instant(leaf.begins_at),
        "tls_expires_at": _instant(leaf.expires_at),
    }
    return facts | {"tls_must_staple": True} if leaf.must_staple else facts


@functools.lru_cache(maxsize=2048)
def _chain_facts(sent: tuple[Facts, ...], verified: tuple[Facts, ...]) -> dict[str, Fact]:
    """Returns the chain as sent, a line for each, and what stands out about it."""
    facts: dict[str, Fact] = {
        f"tls_chain_{place}": f"{each.subject} by {each.issuer} until {_instant(each.expires_at)}, {each.key}"
        for place, each in enumerate(sent[:_CHAIN_SHOWN_MAX], 1)
    }
    facts["tls_chain_sent"] = len(sent)
    facts["tls_chain_sent_expires_at"] = _instant(min(each.expires_at for each in sent))
    if any(upper.subject != lower.issuer for lower, upper in itertools.pairwise(sent)):
        facts["tls_chain_disordered"] = True
    if verified and (extra := len(set(sent) - set(verified))):
        facts["tls_chain_extra"] = extra
    if any(each.is_self_issued for each in sent[1:]):
        facts["tls_chain_root_sent"] = True
    if verified:
        facts["tls_chain_expires_at"] = _instant(min(each.expires_at for each in verified))
    return facts


def _instant(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
