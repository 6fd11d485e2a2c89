"""A result that is not up keeps the start of the response on the deciding hop; no other result does."""

import asyncio
import ssl
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from libs.model.fields.tls import TlsReason
from libs.model.outcome import Outcome, Reason, Status
from services.http.spec import HttpReason, HttpSpec
from tests.support.targets import web
from tests.support.targets.certificates import Authority
from tests.support.targets.probing import check_probe
from tests.support.targets.web import Handler, moved, page, routes, says, serving

TOKEN = "tok-3nr.Zq/x"
ERROR = page(b"no database", "500 Oh no", "Set-Cookie: sid=1\r\n")
TOLD = "HTTP/1.1 500 Oh no\nContent-Length: 11\nSet-Cookie: [redacted]\n\nno database"


async def visit(handler: Handler, timeout_s: float = 5.0, scheme: str = "http", **options: Any) -> Outcome:
    async with serving(handler) as port:
        spec = msgspec.convert({"kind": "http", "url": f"{scheme}://127.0.0.1:{port}/", **options}, HttpSpec)
        return await check_probe(spec, timeout_s=timeout_s)


def words(outcome: Outcome) -> list[str]:
    return [hop.said for hop in outcome.hops]


async def test_a_result_that_is_up_has_no_excerpt() -> None:
    assert words(await visit(says(page()))) == [""]


async def test_the_deciding_hop_has_the_excerpt() -> None:
    outcome = await visit(routes({"/": moved("/gone"), "/gone": ERROR}))
    assert (outcome.reason, words(outcome)) == (HttpReason.STATUS_UNEXPECTED, ["", TOLD])
    assert outcome.hops[0].begun_s == 0 < outcome.hops[1].begun_s


async def test_a_failed_final_rule_has_an_excerpt_too() -> None:
    outcome = await visit(says(page()), body_matches=["moon"])
    assert words(outcome) == ["HTTP/1.1 200 OK\nContent-Length: 12\n\nHello, world"]
    assert words(await visit(says(page()), time_s_max=0.000001)) == words(outcome)


async def test_an_invalid_redirect_is_reported_without_its_query() -> None:
    (said,) = words(await visit(says(moved("ftp://a.example/?key=abc", "302 Found"))))
    assert "Location: ftp://a.example/?[redacted]" in said


@pytest.mark.parametrize("options", [{}, {"expect_status": ["200-599"], "header_assertions": [{"name": "X-A"}]}])
async def test_the_start_of_a_late_body_is_awaited(options: dict[str, Any]) -> None:
    async def halves(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await web.request_of(reader)
        for half in (ERROR[:-11], ERROR[-11:]):
            writer.write(half)
            await writer.drain()
            await asyncio.sleep(0.02)

    outcome = await visit(halves, **options)
    assert outcome.status is Status.DOWN
    assert words(outcome) == [TOLD]


async def test_a_missing_body_changes_no_verdict() -> None:
    outcome = await visit(web.then_silence(ERROR[:-11]), timeout_s=0.3)
    assert (outcome.reason, words(outcome)) == (HttpReason.STATUS_UNEXPECTED, [TOLD.partition("\n\n")[0]])


@pytest.mark.parametrize("rest", [b"zz\r\n", b"5;" + b"x" * 100_000, b"0\r\n\r\n", b""])
async def test_broken_framing_while_awaiting_the_body_changes_no_verdict(rest: bytes) -> None:
    start = b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert (await visit(says(start + rest))).reason == HttpReason.STATUS_UNEXPECTED


async def test_a_response_that_is_not_http_is_in_the_excerpt() -> None:
    assert words(await visit(web.blurts(b"SSH-2.0-OpenSSH_9.6\r\n"))) == ["SSH-2.0-OpenSSH_9.6"]
    outcome = await visit(web.blurts(b"HTTP/1.1 400 No\r\n\r\nTLS?"), scheme="https")
    assert (outcome.reason, words(outcome)) == (TlsReason.TLS_NOT_SPOKEN, ["HTTP/1.1 400 No\n\nTLS?"])
    outcome = await visit(web.then_silence(b"\x15\x03\x01\x00\x02\x02\x28"), scheme="https")
    assert (outcome.reason, words(outcome)) == (TlsReason.TLS_FAILED, [r"\x15\x03\x01\x00\x02\x02("])


async def test_no_response_has_no_excerpt() -> None:
    assert words(await visit(web.hangs_up)) == [""]
    async with serving(web.hangs_up) as port:
        pass
    assert words(await check_probe(HttpSpec(url=f"http://127.0.0.1:{port}/"))) == [""]


async def test_a_refused_certificate_has_no_excerpt(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    for days, reason in (((-9, -1), TlsReason.TLS_CERTIFICATE_EXPIRED), ((-9, 1), TlsReason.TLS_EXPIRING)):
        async with serving(says(page()), authority.server("127.0.0.1", days=days)) as port:
            outcome = await check_probe(HttpSpec(url=f"https://127.0.0.1:{port}/"), ca_file=authority.ca_file)
        assert (outcome.reason, words(outcome)) == (reason, [""])


async def test_an_echoed_secret_is_not_kept() -> None:
    async def echoes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(page(await web.request_of(reader), "500 No"))

    outcome = await visit(echoes, headers={"X-Api-Key": TOKEN})
    assert "User-Agent" in words(outcome)[0]
    assert TOKEN not in repr(outcome)
    (said,) = words(await visit(echoes, bearer_token=TOKEN))
    assert TOKEN not in said


async def test_a_body_is_not_sent_to_another_origin() -> None:
    seen: list[bytes] = []
    async with AsyncExitStack() as stack:
        other = await stack.enter_async_context(serving(routes({"/": page()}, seen)))
        away = says(moved(f"http://127.0.0.1:{other}/", "307 Temporary Redirect"))
        outcome = await visit(away, method="POST", body="password=x")
        assert outcome.reason == HttpReason.REDIRECT_WITH_BODY
        assert seen == []
        assert (await visit(away, method="POST")).reason == Reason.OK


@pytest.mark.parametrize("findings", ["down", "degraded"])
async def test_no_request_is_sent_over_too_old_tls(tmp_path: Path, findings: str) -> None:
    seen: list[bytes] = []
    authority = Authority(tmp_path)
    for name, trusted in (("127.0.0.1", authority), ("127.0.0.1", Authority(tmp_path, "A stranger"))):
        old = trusted.server(name)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        async with serving(routes({"/": page()}, seen), old) as port:
            spec = HttpSpec(url=f"https://127.0.0.1:{port}/", tls_version_min="1.3", bearer_token=TOKEN)
            spec = msgspec.structs.replace(spec, tls_findings=findings)
            outcome = await check_probe(spec, ca_file=authority.ca_file)
        assert outcome.status is Status.DOWN
        if trusted is authority or findings == "degraded":
            assert outcome.reason == HttpReason.TLS_VERSION
            assert outcome.detail == "The server speaks TLSv1.2, and tls_version_min is 1.3."
            assert outcome.hops[0].facts["tls_version"] == "TLSv1.2"
    assert seen == []
