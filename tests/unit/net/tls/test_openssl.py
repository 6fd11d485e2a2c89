"""OpenSSL binding: the ClientHello, trusted roots, and errors as the ssl module reports them."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

from libs.net.tls.findings import CertificateProblem
from libs.net.tls.openssl import CertificateRefusedError, TlsError
from libs.net.tls.sessions import TlsClientCertificate, TlsContexts, TlsFailure, error_text
from tests.support.targets.certificates import Authority
from tests.support.targets.handshake import shaken

# The key share of ML-KEM-768 (FIPS 203) alone is larger.
HELLO_BYTES_MAX = 1184


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def trust(authority: Authority) -> TlsContexts:
    return TlsContexts(authority.ca_file)


def test_the_client_hello_has_no_hybrid_key_share(trust: TlsContexts) -> None:
    session = trust.session("a.example", verify=True)
    assert not session.do_handshake()
    assert 0 < len(session.outgoing()) < HELLO_BYTES_MAX
    assert session.outgoing() == b""


@pytest.mark.parametrize("name", ["a", "-a.example", "a-.example", "a_.example"])
def test_names_that_openssl_rejects_are_still_verified(authority: Authority, trust: TlsContexts, name: str) -> None:
    right, wrong = trust.session(name, verify=True), trust.session(name, verify=True)
    assert shaken(right, authority.server(name)) is None
    assert right.verified_chain()
    error = shaken(wrong, authority.server("b.example"))
    assert isinstance(error, CertificateRefusedError)
    assert (wrong.classify_error(error), wrong.verified_chain()) == (CertificateProblem.HOSTNAME_MISMATCH, [])
    assert error_text(error) == f"Hostname mismatch, certificate is not valid for '{name}'."
    assert shaken(trust.session(name, verify=False), authority.server("b.example")) is None


@pytest.mark.parametrize("name", ["", ".a", "a..b", f"{'a.' * 127}aa", f"{'a' * 64}.example"])
def test_invalid_server_names_are_refused(trust: TlsContexts, name: str) -> None:
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
        (b"\x16\x03\x03\xff\xffhello", "data length too long", TlsFailure.NOT_TLS),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "wrong version number", TlsFailure.NOT_TLS),
        (b"220 mail.example ESMTP\r\n", "wrong version number", TlsFailure.NOT_TLS),
        (b"GET / HTTP/1.1\r\n\r\n", "http request", TlsFailure.NOT_TLS),
    ],
)
def test_error_reasons_equal_those_of_the_ssl_module(
    trust: TlsContexts, heard: bytes, said: str, failure: TlsFailure
) -> None:
    session = trust.session("a.example", verify=True)
    assert not session.do_handshake()
    session.feed(heard)
    with pytest.raises(TlsError) as caught:
        session.do_handshake()
    assert (error_text(caught.value), session.classify_error(caught.value)) == (said, failure)


def test_the_roots_are_those_of_the_interpreter(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca_file))
    trust = TlsContexts()
    session = trust.session("a.example", verify=True)
    assert shaken(session, authority.server("a.example")) is None
    assert (trust.has_roots, len(session.verified_chain())) == (True, 2)


def test_an_encrypted_client_key_is_refused(authority: Authority, trust: TlsContexts) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")).decode()
    with pytest.raises(ValueError, match=r"^the client certificate cannot be used: the key is encrypted$"):
        trust.session("a.example", verify=True, identity=TlsClientCertificate(authority.client()[0], key_pem))


def test_an_invalid_ca_file_is_an_error_at_start(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        TlsContexts(tmp_path / "none.pem")
