"""Facts and findings about a TLS server."""

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from libs.net.tls.findings import CertificateProblem
from libs.net.tls.peer import TlsPeer, inspect_peer, session_facts
from libs.net.tls.sessions import TlsContexts, TlsTooOldError
from services.http.spec import HttpSpec
from tests.support.targets.certificates import MUST_STAPLE, Authority
from tests.support.targets.handshake import shaken

NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("authorities")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return Authority(folder)


@pytest.fixture(scope="module")
def between(folder: Path, authority: Authority) -> Authority:
    return Authority(folder, "between", authority)


def seen(authority: Authority, server: ssl.SSLContext, *, verify: bool = True) -> TlsPeer:
    trust = TlsContexts(authority.ca_file)
    session = trust.session("a.example", verify=verify)
    return inspect_peer(session, trust, NOW, expiry_fraction=0.2, error=shaken(session, server))


def test_a_good_chain_is_described(authority: Authority, between: Authority) -> None:
    peer = seen(authority, between.server("a.example"))
    assert (len(peer.sent_chain), len(peer.verified_chain), peer.findings, peer.failure) == (2, 3, [], None)
    assert peer.facts["tls_subject"] == "a.example"
    assert peer.facts["tls_version"] == "TLSv1.3"
    assert str(peer.facts["tls_chain_2"]).startswith("between by Vedette test authority until ")
    assert peer.chain_expires_at == min(facts.expires_at for facts in peer.verified_chain)
    assert f"{peer.chain_expires_at:%Y-%m-%dT%H:%M:%SZ}" == peer.facts["tls_chain_expires_at"]


def test_irregularities_of_a_chain_are_facts(authority: Authority, between: Authority) -> None:
    marks = ("tls_chain_disordered", "tls_chain_extra", "tls_chain_root_sent")
    assert not set(marks) & set(seen(authority, between.server("a.example")).facts)
    whole = between.server("a.example", chain=[authority.certificate, between.certificate, authority.vouch(between)])
    assert [seen(authority, whole).facts[mark] for mark in marks] == [True, 1, True]


def test_a_long_chain_is_counted_and_truncated(authority: Authority, between: Authority) -> None:
    chain = [between.certificate, *(authority.vouch(between) for _ in range(9))]
    facts = seen(authority, between.server("a.example", chain=chain)).facts
    assert facts["tls_chain_sent"] == 11
    assert [name for name in facts if name.startswith("tls_chain_") and name[-1].isdigit()][-1] == "tls_chain_6"


def test_a_refused_chain_has_all_its_findings(folder: Path, authority: Authority) -> None:
    stranger = Authority(folder, "a stranger").server("b.example", days=(-90, -1))
    peer = seen(authority, stranger)
    assert peer.failure is CertificateProblem.CERTIFICATE_EXPIRED or peer.failure is CertificateProblem.UNTRUSTED
    assert peer.facts["tls_findings"] == "tls_untrusted, tls_certificate_expired, tls_hostname_mismatch"
    assert [peer.facts[f"tls_finding_{place}"] for place in (1, 2, 3)] == [f"{each.detail}." for each in peer.findings]
    assert (peer.verified_chain, peer.chain_expires_at) == ((), None)
    taken = seen(authority, stranger, verify=False)
    assert (taken.failure, taken.findings) == (None, peer.findings)


def test_a_problem_found_only_by_openssl_is_a_finding(authority: Authority) -> None:
    peer = seen(authority, authority.server("a.example", usage=ExtendedKeyUsageOID.CLIENT_AUTH))
    assert [finding.problem for finding in peer.findings] == [CertificateProblem.CERTIFICATE_INVALID]
    assert "unsuitable certificate purpose" in peer.findings[0].detail


def test_there_are_no_facts_before_a_handshake(authority: Authority) -> None:
    trust = TlsContexts(authority.ca_file)
    peer = inspect_peer(trust.session("a.example", verify=True), trust, NOW, expiry_fraction=0.2)
    assert peer == TlsPeer()
    assert peer.leaf is None


@pytest.mark.parametrize(
    ("least", "most", "is_old"), [("1.3", "1.2", True), ("1.2", "1.2", False), ("1.3", "1.3", False)]
)
def test_a_version_below_the_wanted_one_ends_the_handshake(
    authority: Authority, least: str, most: str, is_old: bool
) -> None:
    server = authority.server("a.example")
    server.maximum_version = ssl.TLSVersion[f"TLSv{most.replace('.', '_')}"]
    session = TlsContexts(authority.ca_file).session("a.example", verify=True, version_min=least)
    error = shaken(session, server)
    assert isinstance(error, TlsTooOldError) is is_old
    assert (error is None) is not is_old
    assert session_facts(session)["tls_version"] == f"TLSv{most}"


def test_static_facts_of_kind_http_exist(authority: Authority, between: Authority) -> None:
    chain = [between.certificate, authority.certificate, *(authority.vouch(between) for _ in range(9))]
    facts = seen(authority, between.server("a.example", chain=chain, extensions=[MUST_STAPLE])).facts
    kept = {
        "tls_version",
        "tls_cipher",
        "tls_issuer",
        "tls_fingerprint_sha256",
        "tls_expires_at",
        "tls_chain_expires_at",
    }
    assert set(facts) - HttpSpec.static_facts == kept
    assert set(facts) >= HttpSpec.static_facts
