"""Every test server gets its expected verdict, and every reason has a test server."""

import resource
import ssl
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import msgspec
import pytest

from libs.model.fields.tls import TlsReason
from libs.model.outcome import Outcome, Reason, Status
from libs.model.spec import Spec
from services.http.probe import HttpProbe
from services.http.spec import HttpReason, HttpSpec
from tests.support.targets.cases import CASES, Case, servers
from tests.support.targets.certificates import Authority
from tests.support.targets.probing import check_probe
from tests.support.targets.proxy_cases import PROXIED
from tests.support.targets.tls_cases import CERTIFICATES
from tests.support.targets.web import deaf_port, moved, page, says, serving, shakes_hands

# Reasons that need more than a server; each has its own test, below or in the named file.
ELSEWHERE = {
    TlsReason.NO_TRUST_STORE,
    TlsReason.TLS_CLIENT_CERTIFICATE_REQUIRED,
    HttpReason.FAMILY_DOWN,  # test_family.py
    TlsReason.TLS_CLIENT_CERTIFICATE_REFUSED,
    HttpReason.TLS_CLIENT_CERTIFICATE_UNUSABLE,
}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def contexts(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> dict[str, ssl.SSLContext]:
    return servers(authority, Authority(tmp_path_factory.mktemp("stranger"), "A stranger"))


def spec_of(case: Case, port: int) -> HttpSpec:
    host = case.path.strip("/") if case.path.startswith("//") else "127.0.0.1"
    path = "/" if case.path.startswith("//") else case.path
    scheme = case.scheme or ("https" if case.server else "http")
    spec = msgspec.convert({"kind": "http", "url": f"{scheme}://{host}:{port}{path}"} | case.options, HttpSpec)
    assert isinstance(spec, Spec)
    return spec


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_a_target_gets_its_verdict(case: Case, authority: Authority, contexts: dict[str, ssl.SSLContext]) -> None:
    async with serving(case.handler, contexts.get(case.server)) as port:
        outcome = await check_probe(spec_of(case, port), timeout_s=case.timeout_s, ca_file=authority.ca_file)
    assert (outcome.status, outcome.reason) == case.expected, outcome
    assert outcome.detail.endswith(".")
    assert sum(sum(hop.phases.values()) for hop in outcome.hops) <= outcome.samples["total_s"]


def test_every_reason_has_a_test_server() -> None:
    assert {case.reason for case in (*CASES, *CERTIFICATES, *PROXIED)} | ELSEWHERE >= {*HttpReason, *TlsReason}


def test_case_names_are_unique() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


async def test_a_closed_port_is_refused() -> None:
    async with serving(says(page())) as port:
        pass
    outcome = await check_probe(HttpSpec(url=f"http://127.0.0.1:{port}/"))
    assert (outcome.status, outcome.reason) == (Status.DOWN, Reason.REFUSED)


async def test_a_port_that_never_accepts_is_a_connect_timeout() -> None:
    with deaf_port() as port:
        outcome = await check_probe(HttpSpec(url=f"http://127.0.0.1:{port}/"), timeout_s=0.3)
    assert (outcome.status, outcome.reason) == (Status.DOWN, Reason.CONNECT_TIMEOUT)
    assert list(outcome.hops[0].phases) == ["connect_s"]


async def test_an_address_without_a_route_is_not_the_targets_fault() -> None:
    outcome = await check_probe(HttpSpec(url="http://224.0.0.1/"))
    assert (outcome.status, outcome.reason) == (Status.UNKNOWN, Reason.NO_ROUTE)


@contextmanager
def descriptors_max(count: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_no_free_descriptor_is_unknown() -> None:
    async with HttpProbe() as probe:
        with descriptors_max(3):
            outcome = await probe(HttpSpec(url="http://127.0.0.1:9/"), 1)
    assert (outcome.status, outcome.reason) == (Status.UNKNOWN, Reason.NO_DESCRIPTORS)


async def test_without_root_certificates_a_chain_is_unknown(
    tmp_path: Path, contexts: dict[str, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    async with serving(says(page()), contexts["good"]) as port:
        outcome = await check_probe(HttpSpec(url=f"https://127.0.0.1:{port}/"))
    assert (outcome.status, outcome.reason) == (Status.UNKNOWN, TlsReason.NO_TRUST_STORE)


async def test_a_missing_client_certificate_is_reported_after_the_handshake(authority: Authority) -> None:
    demanding = authority.server("127.0.0.1")
    demanding.verify_mode = ssl.CERT_REQUIRED
    async with serving(shakes_hands(demanding)) as port:
        outcome = await check_probe(HttpSpec(url=f"https://127.0.0.1:{port}/"), ca_file=authority.ca_file)
    assert (outcome.status, outcome.reason) == (Status.DOWN, TlsReason.TLS_CLIENT_CERTIFICATE_REQUIRED)


async def test_a_server_without_a_cipher_of_ours_fails_the_handshake(authority: Authority) -> None:
    odd = authority.server("127.0.0.1")
    odd.maximum_version = ssl.TLSVersion.TLSv1_2
    odd.set_ciphers("ECDHE-ECDSA-AES256-CCM8")
    async with serving(shakes_hands(odd)) as port:
        outcome = await check_probe(HttpSpec(url=f"https://127.0.0.1:{port}/"), ca_file=authority.ca_file)
    assert (outcome.status, outcome.reason) == (Status.DOWN, TlsReason.TLS_FAILED)
    assert "handshake failure" in outcome.detail


async def test_a_refused_certificate_is_still_described(
    authority: Authority, contexts: dict[str, ssl.SSLContext]
) -> None:
    async with serving(says(page()), contexts["expired"]) as port:
        outcome = await check_probe(HttpSpec(url=f"https://127.0.0.1:{port}/"), ca_file=authority.ca_file)
    assert -2 * 86400 < outcome.samples["tls_expires_in_s"] < 0
    assert outcome.hops[0].facts["tls_subject"] == "127.0.0.1"


async def test_a_redirect_to_https_has_two_hops(authority: Authority, contexts: dict[str, ssl.SSLContext]) -> None:
    async with AsyncExitStack() as stack:
        secure = await stack.enter_async_context(serving(says(page()), contexts["good"]))
        plain = await stack.enter_async_context(serving(says(moved(f"https://localhost:{secure}/?token=secret"))))
        outcome = await check_probe(HttpSpec(url=f"http://127.0.0.1:{plain}/?key=secret"), ca_file=authority.ca_file)
    assert outcome.status is Status.UP
    assert outcome.samples["redirects"] == 1
    assert [list(hop.phases) for hop in outcome.hops] == [
        ["connect_s", "first_byte_s", "transfer_s"],
        ["resolve_s", "connect_s", "tls_s", "first_byte_s", "transfer_s"],
    ]
    for phase in ("connect_s", "transfer_s"):
        assert outcome.samples[phase] == pytest.approx(sum(hop.phases[phase] for hop in outcome.hops))
    assert 89 * 86400 < outcome.samples["tls_expires_in_s"] < 90 * 86400
    assert "secret" not in repr(outcome)


async def test_an_ipv6_literal_is_probed() -> None:
    async with serving(says(page()), host="::1") as port:
        outcome = await check_probe(HttpSpec(url=f"http://[::1]:{port}/"))
    assert (outcome.status, outcome.hops[0].address) == (Status.UP, "::1")


async def test_the_samples_of_a_page() -> None:
    async with serving(says(page(b"x" * 1000, headers="Server: z\r\n"))) as port:
        outcome = await check_probe(HttpSpec(url=f"http://127.0.0.1:{port}/"))
    facts = {name: outcome.samples[name] for name in ("status_code", "body_bytes", "header_bytes", "redirects")}
    assert facts == {"status_code": 200, "body_bytes": 1000, "header_bytes": 33, "redirects": 0}
    assert roundtrip(outcome) == outcome


def roundtrip(outcome: Outcome) -> Outcome:
    return msgspec.json.decode(msgspec.json.encode(outcome), type=Outcome)
