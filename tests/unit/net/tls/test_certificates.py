"""Certificate parsing."""

from collections.abc import Callable
from datetime import UTC, datetime
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import example, given
from hypothesis import strategies as st

from libs.net.tls.certificates import (
    NAMES_SHOWN_MAX,
    CertificateFacts,
    load_certificate,
    read_certificate,
    subject_alt_names,
)
from libs.net.tls.findings import TrustStore, find_problems
from tests.support.targets.certificates import MUST_STAPLE, TELLS_ISSUER, Authority, PublicKeyHolder

KEY = ec.generate_private_key(ec.SECP256R1())
BARE = (
    x509.CertificateBuilder()
    .public_key(KEY.public_key())
    .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
    .not_valid_after(datetime(2027, 1, 1, tzinfo=UTC))
)
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a.example")])
WHOLE = (
    BARE.subject_name(NAME)
    .issuer_name(NAME)
    .serial_number(7)
    .add_extension(
        x509.SubjectAlternativeName([x509.DNSName("a.example"), x509.IPAddress(IPv4Address("10.0.0.1"))]),
        critical=False,
    )
    .add_extension(TELLS_ISSUER, critical=False)
    .add_extension(MUST_STAPLE, critical=False)
    .sign(KEY, hashes.SHA256())
)
DER = WHOLE.public_bytes(Encoding.DER)
NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def facts_of(certificate: x509.Certificate) -> CertificateFacts:
    facts = read_certificate(certificate.public_bytes(Encoding.DER))
    assert facts is not None
    return facts


KEYS: dict[str, tuple[Callable[[], PublicKeyHolder], bool]] = {
    "RSA 1024": (lambda: rsa.generate_private_key(65537, 1024), True),
    "RSA 2048": (lambda: rsa.generate_private_key(65537, 2048), False),
    "EC secp192r1": (lambda: ec.generate_private_key(ec.SECP192R1()), True),
    "EC secp224r1": (lambda: ec.generate_private_key(ec.SECP224R1()), False),
    "EC secp384r1": (lambda: ec.generate_private_key(ec.SECP384R1()), False),
    "DSA 1024": (lambda: dsa.generate_private_key(1024), True),
    "Ed25519": (ed25519.Ed25519PrivateKey.generate, False),
    "Ed448": (ed448.Ed448PrivateKey.generate, False),
}


@pytest.mark.parametrize("name", KEYS)
def test_keys_are_described_and_rated(authority: Authority, name: str):
    make, is_weak = KEYS[name]
    facts = facts_of(authority.issue("a.example", key=make()))
    assert (facts.key, facts.key_is_weak) == (name, is_weak)


def test_signatures_are_described_and_rated(tmp_path: Path, authority: Authority):
    old = Authority(tmp_path, "old", key=rsa.generate_private_key(65537, 2048))
    weak = facts_of(old.issue("a.example", key=KEY, sha1=True))
    assert (weak.signature, weak.signature_is_weak) == ("sha1WithRSAEncryption", True)
    strong = facts_of(authority.issue("a.example", key=KEY))
    assert (strong.signature, strong.signature_is_weak) == ("ecdsa-with-SHA256", False)


def test_names_are_counted_and_truncated(authority: Authority):
    hosts = [f"host-{number}.example" for number in range(40)]
    facts = facts_of(authority.issue("10.0.0.1", *hosts, "2001:DB8::1", key=KEY))
    assert (facts.names, facts.names_count) == (tuple(hosts[:NAMES_SHOWN_MAX]), 42)


def test_all_names_are_read_in_lower_case(authority: Authority):
    certificate = authority.issue("A.Example", "*.B.example", "10.0.0.1", "2001:DB8::1", key=KEY)
    assert subject_alt_names(certificate) == (["a.example", "*.b.example"], ["10.0.0.1", "2001:db8::1"])
    assert subject_alt_names(authority.issue(common_name="a.example", key=KEY)) == ([], [])


def test_facts_beside_names(authority: Authority):
    plain = facts_of(authority.issue("a.example", key=KEY))
    assert (plain.subject, plain.issuer) == ("a.example", "Vedette test authority")
    assert (plain.is_self_issued, plain.must_staple, plain.has_issuer_url) == (False, False, False)
    full = facts_of(authority.issue("a.example", key=KEY, self_signed=True, extensions=[MUST_STAPLE, TELLS_ISSUER]))
    assert (full.is_self_issued, full.must_staple, full.has_issuer_url) == (True, True, True)


def test_the_same_key_signed_again_keeps_its_fingerprint(authority: Authority):
    first, second = (facts_of(authority.issue("a.example", key=KEY)) for _ in range(2))
    assert first.spki == second.spki
    assert first.fingerprint != second.fingerprint


@given(st.integers(1, (1 << 159) - 1))
def test_a_serial_number_has_two_digits_for_each_byte(serial: int):
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "No common name")])
    issued = facts_of(BARE.subject_name(name).issuer_name(name).serial_number(serial).sign(KEY, hashes.SHA256()))
    assert (int(issued.serial, 16), len(issued.serial) % 2) == (serial, 0)
    assert issued.subject == "O=No common name"


@given(st.binary(max_size=300))
def test_random_bytes_are_no_certificate(noise: bytes):
    assert read_certificate(noise) is None
    assert load_certificate(noise) is None


@given(st.integers(0, 2000), st.integers(1, 255))
@example(DER.index(b"\xa0\x03\x02\x01\x02") + 4, 3)  # the version
def test_a_certificate_with_a_wrong_byte_never_raises(place: int, change: int):
    der = bytearray(DER)
    der[place % len(der)] ^= change
    facts = read_certificate(bytes(der))
    assert facts is None or facts.fingerprint != facts_of(WHOLE).fingerprint
    for chain in ([bytes(der)], [bytes(der), DER], [DER, bytes(der)]):
        assert find_problems(chain, "a.example", TrustStore([DER, bytes(der)]), NOW) is not None
