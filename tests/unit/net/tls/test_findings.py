"""Certificate findings, compared with OpenSSL's verdict where possible."""

import itertools
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.model.fields.url import parse_authority
from libs.net.tls.certificates import read_certificate
from libs.net.tls.findings import (
    CertificateFinding,
    CertificateProblem,
    TrustStore,
    by_severity,
    find_expiring,
    find_problems,
    is_signed_by,
    matches_host,
)
from libs.net.tls.sessions import TlsContexts, classify_error
from tests.support.targets.certificates import TELLS_ISSUER, Authority
from tests.support.targets.handshake import shaken

KEY = ec.generate_private_key(ec.SECP256R1())
with tempfile.TemporaryDirectory() as folder:
    CERTIFICATE = Authority(Path(folder)).issue("a.example", key=KEY)
NOW = datetime.now(UTC)
DAY = timedelta(days=1)
LABELS = st.sampled_from(["a", "b", "www", "xn--mnchen-3ya", "x_y", "A"])
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(".".join)
WILDCARDS = NAMES.map("*.{}".format)
ADDRESSES = st.sampled_from(["127.0.0.1", "127.0.0.2", "::1", "2001:db8::1"])


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def trust(authority: Authority) -> TlsContexts:
    return TlsContexts(authority.ca_file)


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def found(
    chain: list[x509.Certificate], roots: list[x509.Certificate], name: str = "a.example"
) -> list[CertificateProblem]:
    seen = find_problems([der(each) for each in chain], name, TrustStore(map(der, roots)), NOW)
    assert seen == by_severity(seen)
    return [finding.problem for finding in seen]


@given(st.lists(NAMES | WILDCARDS | ADDRESSES, max_size=3), NAMES | ADDRESSES)
@settings(deadline=None)
def test_host_names_match_as_in_openssl(authority: Authority, trust: TlsContexts, own: list[str], name: str) -> None:
    certificate = authority.issue(*own, key=KEY, common_name="a.example")
    error = shaken(trust.session(name, verify=True), authority._context(KEY, [certificate]))
    assert error is None or classify_error(error) is CertificateProblem.HOSTNAME_MISMATCH
    assert matches_host(certificate, name) is (error is None)


@pytest.mark.parametrize(
    ("own", "name", "fits"),
    [
        ("*.a.example", "b.a.example", True),
        ("*.a.example", "B.A.Example.", True),
        ("*.a.example", "a.example", False),
        ("*.a.example", "c.b.a.example", False),
        ("*.example", "a.example", False),
        ("a*.a.example", "ab.a.example", False),
        ("xn--mnchen-3ya.example", "m\u00fcnchen.example", True),
        ("*.example.org", "m\u00fcnchen.example.org", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("2001:db8::1", "2001:DB8:0::1", True),
        ("*.0.0.1", "127.0.0.1", False),
    ],
)
def test_host_name_matching(authority: Authority, own: str, name: str, fits: bool) -> None:
    host = name if ":" in name else parse_authority(name)[0]
    assert matches_host(authority.issue(own, key=KEY, common_name="a.example"), host) is fits


def lived(days: float, left: timedelta, fraction: float) -> CertificateFinding | None:
    ends = NOW + left
    facts = read_certificate(der(CERTIFICATE))
    assert facts is not None
    return find_expiring([facts._replace(begins_at=ends - DAY * days, expires_at=ends)], fraction, NOW)


@given(st.floats(0.1, 4000), st.floats(-1, 1.5), st.floats(0, 0.9))
def test_the_expiry_warning_is_a_bounded_fraction_of_the_lifetime(days: float, share: float, fraction: float) -> None:
    left = DAY * days * share
    soon = lived(days, left, fraction)
    if not fraction or left <= timedelta() or left > 30 * DAY:
        assert soon is None
    elif left < DAY * days * fraction:
        assert soon is not None
    elif soon is not None:
        assert left < 3 * DAY
        assert days > 46.9


@given(st.floats(0.1, 4000), st.floats(0.01, 1), st.floats(0, 0.9), st.floats(0, 0.9))
def test_a_greater_share_warns_no_later(days: float, share: float, one: float, other: float) -> None:
    less, more = sorted((one, other))
    if lived(days, DAY * days * share, less) is not None:
        assert lived(days, DAY * days * share, more) is not None


def test_the_detail_has_the_remaining_days() -> None:
    soon = lived(90, 12 * DAY, 0.2)
    assert soon is not None
    assert soon == (CertificateProblem.EXPIRING, "The certificate of 'a.example' expires in 12 days")
    hours = lived(6, timedelta(hours=5), 0.2)
    assert hours is not None
    assert hours.detail.endswith("expires in 5 hours")


def test_a_chain_to_a_root_has_no_findings(tmp_path: Path, authority: Authority) -> None:
    between = Authority(tmp_path, "between", authority)
    leaf = between.issue("a.example", key=KEY)
    assert found([leaf, between.certificate], [authority.certificate]) == []
    assert found([leaf], [authority.certificate]) == [CertificateProblem.UNTRUSTED]
    told = between.issue("a.example", key=KEY, extensions=[TELLS_ISSUER])
    assert found([told], [authority.certificate]) == [CertificateProblem.INCOMPLETE_CHAIN]


def test_self_signed_untrusted_and_incomplete_chains_are_distinguished(tmp_path: Path, authority: Authority) -> None:
    stranger = Authority(tmp_path, "Vedette test authority")
    assert found([authority.issue("a.example", key=KEY, self_signed=True)], []) == [CertificateProblem.SELF_SIGNED]
    assert found([stranger.issue("a.example", key=KEY), stranger.certificate], []) == [CertificateProblem.UNTRUSTED]
    forged = stranger.issue("a.example", key=KEY)
    assert found([forged], [authority.certificate]) == [CertificateProblem.UNTRUSTED]
    assert not is_signed_by(forged, authority.certificate)


def test_findings_are_ordered_by_severity(tmp_path: Path) -> None:
    old = Authority(tmp_path, "old", key=rsa.generate_private_key(65537, 2048))
    weak = rsa.generate_private_key(65537, 1024)
    leaf = old.issue("b.example", key=weak, days=(-9, -1), sha1=True)
    graves = [
        CertificateProblem.CERTIFICATE_EXPIRED,
        CertificateProblem.HOSTNAME_MISMATCH,
        CertificateProblem.WEAK_KEY,
        CertificateProblem.WEAK_SIGNATURE,
    ]
    assert found([leaf], []) == [CertificateProblem.UNTRUSTED, *graves]
    assert found([leaf], [old.certificate]) == graves
    future = old.issue("a.example", key=KEY, days=(1, 9))
    assert found([future], [old.certificate]) == [CertificateProblem.CERTIFICATE_NOT_YET_VALID]


def test_the_order_of_intermediates_does_not_matter(tmp_path: Path, authority: Authority) -> None:
    upper = Authority(tmp_path, "upper", authority)
    lower = Authority(tmp_path, "lower", upper)
    expired = upper.vouch(lower, (-90, -1))
    rest = [upper.certificate, lower.certificate, expired, authority.certificate]
    leaf = lower.issue("a.example", key=KEY)
    for chain in itertools.permutations(rest):
        assert found([leaf, *chain], [authority.certificate]) == []
    for chain in itertools.permutations([upper.certificate, expired]):
        assert found([leaf, *chain], [authority.certificate]) == [CertificateProblem.CERTIFICATE_EXPIRED]


def test_an_unreadable_certificate_is_a_finding() -> None:
    for chain in ([], [b"noise"], [b"noise", der(CERTIFICATE)]):
        assert [each.problem for each in find_problems(chain, "a.example", TrustStore([]), NOW)] == [
            CertificateProblem.CERTIFICATE_INVALID
        ]


def test_a_thousand_similar_certificates_cost_few_signature_checks(tmp_path: Path) -> None:
    alike = [Authority(tmp_path, "alike").certificate for _ in range(100)]
    real = Authority(tmp_path, "alike")
    leaf = real.issue("a.example", key=KEY)
    # The budget is spent before the one that signed is tried: that is no root, and no hang.
    assert found([leaf, *alike, real.certificate], []) == [CertificateProblem.UNTRUSTED]
