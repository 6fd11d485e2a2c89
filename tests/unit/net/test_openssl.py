"""The library below TLS: what it offers, what it trusts, and its errors in the interpreter's words."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from libs.net.findings import Flaw
from libs.net.openssl import CertificateRefusedError, TlsError
from libs.net.tls import Identity, TlsFailure, Trust, words
from tests.support.targets.certificates import Authority
from tests.support.targets.handshake import shaken

# The key share of ML-KEM-768 (FIPS 203) alone is larger.
HELLO_BYTES_MAX = 1184


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def trust(authority: Authority) -> Trust:
    return Trust(authority.ca_file)


def test_the_first_flight_has_no_hybrid_key(trust: Trust) -> None:
    session = trust.session("a.example", verify=True)
    assert not session.shake()
    assert 0 < len(session.outgoing()) < HELLO_BYTES_MAX
    assert session.outgoing() == b""


@pytest.mark.parametrize("name", ["a", "-a.example", "a-.example", "a_.example"])
def test_names_that_the_library_does_not_take_are_compared_all_the_same(
    authority: Authority, trust: Trust, name: str
) -> None:
    right, wrong = trust.session(name, verify=True), trust.session(name, verify=True)
    assert shaken(right, authority.server(name)) is None
    assert right.verified()
    error = shaken(wrong, authority.server("b.example"))
    assert isinstance(error, CertificateRefusedError)
    assert (wrong.failure(error), wrong.verified()) == (Flaw.HOSTNAME_MISMATCH, [])
    assert words(error) == f"Hostname mismatch, certificate is not valid for '{name}'."
    assert shaken(trust.session(name, verify=False), authority.server("b.example")) is None


@pytest.mark.parametrize("name", ["", ".a", "a..b", f"{'a.' * 127}aa", f"{'a' * 64}.example"])
def test_what_is_no_name_is_refused(trust: Trust, name: str) -> None:
    with pytest.raises(ValueError, match=r"name|label"):
        trust.session(name, verify=True)


@pytest.mark.parametrize(
    ("heard", "said", "failure"),
    [
        (b"\x15\x03\x03\x00\x02\x02\x28", "sslv3 alert handshake failure", TlsFailure.FAILED),
        (b"\x15\x03\x03\x00\x02\x02\x46", "tlsv1 alert protocol version", TlsFailure.FAILED),
        (b"\x15\x03\x03\x00\x02\x02\x74", "tlsv13 alert certificate required", TlsFailure.CLIENT_CERTIFICATE_REQUIRED),
        (b"\x15\x03\x03\x00\x02\x02\x78", "tlsv1 alert no application protocol", TlsFailure.FAILED),
        (b"\x16\x03\x03\x00\x05hello", "unexpected message", TlsFailure.FAILED),
        (b"\x16\x03\x03\xff\xffhello", "data length too long", TlsFailure.NOT_SPOKEN),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "wrong version number", TlsFailure.NOT_SPOKEN),
        (b"220 mail.example ESMTP\r\n", "wrong version number", TlsFailure.NOT_SPOKEN),
        (b"GET / HTTP/1.1\r\n\r\n", "http request", TlsFailure.NOT_SPOKEN),
    ],
)
def test_errors_have_the_words_of_the_interpreter(trust: Trust, heard: bytes, said: str, failure: TlsFailure) -> None:
    session = trust.session("a.example", verify=True)
    assert not session.shake()
    session.feed(heard)
    with pytest.raises(TlsError) as caught:
        session.shake()
    assert (words(caught.value), session.failure(caught.value)) == (said, failure)


def test_the_roots_of_the_interpreter_are_ours(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
    trust = Trust()
    session = trust.session("a.example", verify=True)
    assert shaken(session, authority.server("a.example")) is None
    assert (trust.has_roots, len(session.verified())) == (True, 2)


def test_an_identity_with_an_encrypted_key_is_of_no_use(authority: Authority, trust: Trust) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")).decode()
    with pytest.raises(ValueError, match=r"^the client certificate cannot be used: the key is encrypted$"):
        trust.session("a.example", verify=True, identity=Identity(authority.client()[0], key_pem))


def test_a_ca_file_that_is_none_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Trust(tmp_path / "none.pem")
