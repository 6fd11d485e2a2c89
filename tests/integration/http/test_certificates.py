"""Certificates: the verdict on every test server, and all findings."""

import ssl
from pathlib import Path

import msgspec
import pytest

from libs.model.fields.tls import TlsReason
from libs.model.outcome import Outcome, Status
from services.http.spec import HttpReason, HttpSpec
from tests.support.targets.cases import Case
from tests.support.targets.certificates import Authority
from tests.support.targets.probing import check_probe
from tests.support.targets.tls_cases import CERTIFICATES, HELLO, certificate_servers
from tests.support.targets.web import Handler, moved, page, says, serving, shakes_hands


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def contexts(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> dict[str, ssl.SSLContext]:
    return certificate_servers(tmp_path_factory.mktemp("servers"), authority)


async def visit(
    authority: Authority, handler: Handler, tls: ssl.SSLContext | None, host: str = "127.0.0.1", **options: object
) -> Outcome:
    async with serving(handler, tls) as port:
        spec = msgspec.convert({"kind": "http", "url": f"https://{host}:{port}/", **options}, HttpSpec)
        return await check_probe(spec, ca_file=authority.ca_file)


@pytest.mark.parametrize("case", CERTIFICATES, ids=lambda case: case.name)
async def test_a_certificate_gets_its_verdict(
    case: Case, authority: Authority, contexts: dict[str, ssl.SSLContext]
) -> None:
    host = case.path.strip("/") or "127.0.0.1"
    outcome = await visit(authority, case.handler, contexts[case.server], host, **case.options)
    assert (outcome.status, outcome.reason) == case.expected, outcome
    assert outcome.detail.endswith(".")
    if outcome.status is Status.DEGRADED:
        assert outcome.samples["status_code"] == 200
    if outcome.status is Status.UP:
        assert "tls_findings" not in outcome.hops[0].facts
        assert outcome.samples["tls_chain_expires_in_s"] > 0


async def test_all_findings_are_reported_after_one_handshake(authority: Authority, tmp_path: Path) -> None:
    worst = Authority(tmp_path, "A stranger").server("elsewhere.example", days=(-90, -2))
    outcome = await visit(authority, HELLO, worst)
    facts = outcome.hops[0].facts
    assert facts["tls_findings"] == "tls_untrusted, tls_certificate_expired, tls_hostname_mismatch"
    assert outcome.reason == "tls_untrusted"
    for place in (1, 2, 3):
        assert str(facts[f"tls_finding_{place}"]) in outcome.detail
    assert "tls_chain_expires_in_s" not in outcome.samples
    assert -3 * 86400 < outcome.samples["tls_expires_in_s"] < -86400


async def test_an_unverified_certificate_has_findings(authority: Authority) -> None:
    outcome = await visit(authority, HELLO, authority.server("127.0.0.1", days=(-9, -1)), tls_verify=False)
    assert (outcome.status, outcome.hops[0].facts["tls_findings"]) == (Status.UP, "tls_certificate_expired")


async def test_the_facts_of_a_good_chain(authority: Authority, contexts: dict[str, ssl.SSLContext]) -> None:
    outcome = await visit(authority, HELLO, contexts["an expired extra"])
    facts = outcome.hops[0].facts
    assert facts["tls_names"] == "127.0.0.1"
    assert facts["tls_key"] == "EC secp256r1"
    assert facts["tls_signature"] == "ecdsa-with-SHA256"
    assert (facts["tls_chain_sent"], facts["tls_chain_extra"]) == (3, 1)
    assert str(facts["tls_chain_2"]).startswith("An authority between by Vedette test authority until ")
    assert (len(str(facts["tls_fingerprint_sha256"])), len(str(facts["tls_spki_sha256"]))) == (64, 64)
    assert 89 * 86400 < outcome.samples["tls_chain_expires_in_s"] < 90 * 86400


async def test_must_staple_is_a_fact(authority: Authority, contexts: dict[str, ssl.SSLContext]) -> None:
    outcome = await visit(authority, HELLO, contexts["must staple"])
    assert outcome.hops[0].facts["tls_must_staple"] is True


async def test_a_warning_does_not_replace_down(authority: Authority, contexts: dict[str, ssl.SSLContext]) -> None:
    outcome = await visit(authority, says(page(status="500 No")), contexts["one hour left"])
    assert (outcome.status, outcome.reason) == (Status.DOWN, HttpReason.STATUS_UNEXPECTED)


async def test_a_warning_of_an_earlier_hop_is_kept(authority: Authority, contexts: dict[str, ssl.SSLContext]) -> None:
    async with serving(HELLO) as port:
        there = says(moved(f"http://127.0.0.1:{port}/"))
        outcome = await visit(authority, there, contexts["one hour left"])
    assert (outcome.status, outcome.reason, len(outcome.hops)) == (Status.DEGRADED, TlsReason.TLS_EXPIRING, 2)


@pytest.mark.parametrize("fraction", [0, 0.0005])
async def test_the_expiry_fraction_is_an_option(authority: Authority, fraction: float) -> None:
    short = authority.server("127.0.0.1", days=(-9, 1))
    assert (await visit(authority, HELLO, short)).status is Status.DEGRADED
    assert (await visit(authority, HELLO, short, tls_expiry_fraction=fraction)).status is Status.UP


async def test_no_sni_is_sent_for_an_address(authority: Authority) -> None:
    def choose(_: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> int | None:
        return None if name == "localhost" else ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME

    choosy = authority.server("localhost", "127.0.0.1")
    choosy.sni_callback = choose
    assert (await visit(authority, HELLO, choosy, "localhost")).status is Status.UP
    outcome = await visit(authority, shakes_hands(choosy), None)
    assert (outcome.reason, "unrecognized name" in outcome.detail) == (TlsReason.TLS_FAILED, True)


async def test_a_close_without_close_notify_ends_a_response(authority: Authority) -> None:
    outcome = await visit(authority, shakes_hands(authority.server("127.0.0.1"), page()), None)
    assert outcome.status is Status.UP
