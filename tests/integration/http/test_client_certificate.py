"""Client certificates are sent to the origin of the URL only."""

import ssl
from pathlib import Path

import msgspec
import pytest

from libs.model.fields.tls import TlsReason
from libs.model.outcome import Outcome, Status
from services.http.spec import HttpReason, HttpSpec
from tests.support.targets.certificates import Authority
from tests.support.targets.probing import check_probe
from tests.support.targets.web import moved, page, says, serving, shakes_hands

VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def demanding(authority: Authority, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    context = authority.server("127.0.0.1")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.ca_file)
    context.maximum_version = version
    return context


def option(authority: Authority) -> dict[str, str]:
    certificate_pem, key_pem = authority.client()
    return {"certificate_pem": certificate_pem, "key_pem": key_pem}


async def probe(authority: Authority, port: int, **options: object) -> Outcome:
    spec = msgspec.convert({"kind": "http", "url": f"https://127.0.0.1:{port}/", **options}, HttpSpec)
    return await check_probe(spec, ca_file=authority.ca_file)


@VERSIONS
async def test_a_required_client_certificate_is_sent(authority: Authority, version: ssl.TLSVersion) -> None:
    identity = option(authority)
    async with serving(says(page()), demanding(authority, version)) as port:
        outcome = await probe(authority, port, client_certificate=identity)
    assert outcome.status is Status.UP, outcome
    assert "PRIVATE" not in repr(outcome)


@VERSIONS
async def test_a_required_client_certificate_has_its_own_reason(authority: Authority, version: ssl.TLSVersion) -> None:
    async with serving(shakes_hands(demanding(authority, version), page())) as port:
        outcome = await probe(authority, port)
    assert (outcome.status, outcome.reason) == (Status.DOWN, TlsReason.TLS_CLIENT_CERTIFICATE_REQUIRED), outcome


@VERSIONS
async def test_a_rejected_client_certificate_has_its_own_reason(
    authority: Authority, version: ssl.TLSVersion, tmp_path: Path
) -> None:
    strange = option(Authority(tmp_path, "A stranger"))
    async with serving(shakes_hands(demanding(authority, version), page())) as port:
        outcome = await probe(authority, port, client_certificate=strange)
    assert (outcome.status, outcome.reason) == (Status.DOWN, TlsReason.TLS_CLIENT_CERTIFICATE_REFUSED), outcome


async def test_a_client_certificate_is_not_sent_to_another_origin(authority: Authority) -> None:
    async with serving(shakes_hands(demanding(authority), page())) as there:
        away = says(moved(f"https://127.0.0.1:{there}/"))
        async with serving(away, demanding(authority)) as port:
            outcome = await probe(authority, port, client_certificate=option(authority))
    assert (len(outcome.hops), outcome.reason) == (2, TlsReason.TLS_CLIENT_CERTIFICATE_REQUIRED)


async def test_a_key_that_does_not_match_is_unknown(authority: Authority) -> None:
    mixed = option(authority) | {"key_pem": option(authority)["key_pem"]}
    async with serving(says(page()), demanding(authority)) as port:
        outcome = await probe(authority, port, client_certificate=mixed)
    assert (outcome.status, outcome.reason) == (Status.UNKNOWN, HttpReason.TLS_CLIENT_CERTIFICATE_UNUSABLE)


def test_an_invalid_client_certificate_is_refused_without_its_value(authority: Authority) -> None:
    good = option(authority)
    for name in good:
        bad = good | {name: "-----BEGIN SECRET-----"}
        with pytest.raises(msgspec.ValidationError) as caught:
            msgspec.convert({"kind": "http", "url": "https://a.example/", "client_certificate": bad}, HttpSpec)
        assert "SECRET" not in str(caught.value)
    with pytest.raises(msgspec.ValidationError, match="https"):
        msgspec.convert({"kind": "http", "url": "http://a.example/", "client_certificate": good}, HttpSpec)
