"""HTTP/2 cases that need two connections, several servers, or the frames sent."""

import asyncio
import gc
import ssl
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest

from libs.model.outcome import Outcome, Status
from services.http.probe import HttpProbe
from services.http.spec import HttpReason, HttpSpec
from tests.support.targets import http2
from tests.support.targets.cases import speaking
from tests.support.targets.certificates import Authority
from tests.support.targets.http2 import END_STREAM, Exchange, data, head, raw, rst, serves
from tests.support.targets.probing import check_probe
from tests.support.targets.web import Handler, blurts, hangs_up, moved, page, says, serving


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


async def probe(ca_file: Path, port: int, scheme: str = "https", **options: object) -> Outcome:
    spec = msgspec.convert({"kind": "http", "url": f"{scheme}://127.0.0.1:{port}/a?b", **options}, HttpSpec)
    return await check_probe(spec, ca_file=ca_file)


def by_protocol(new: Handler, old: Handler) -> Handler:
    """Serves each client by its negotiated protocol."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
        await (new if tls.selected_alpn_protocol() == "h2" else old)(reader, writer)

    return handler


@pytest.mark.parametrize("refusal", [rst(13), http2.goaway(13)], ids=["reset", "goodbye"])
async def test_http_1_1_required_is_repeated_over_http_1_1(authority: Authority, refusal: bytes) -> None:
    handler = by_protocol(raw(refusal), says(page()))
    async with serving(handler, speaking(authority, "h2", "1.1")) as port:
        outcome = await probe(authority.ca_file, port)
    assert outcome.status is Status.UP, outcome
    facts = outcome.hops[0].facts
    assert (facts["http_version"], facts["tls_alpn"], facts["tls_subject"]) == ("1.1", "http/1.1", "127.0.0.1")


async def test_a_failed_http_2_response_has_an_excerpt(authority: Authority) -> None:
    no_page = ((":status", "500"), ("server", "a"), ("set-cookie", "sid=1"))
    async with serving(raw(head(no_page), data(b"no database")), speaking(authority, "h2")) as port:
        outcome = await probe(authority.ca_file, port)
    assert outcome.reason == HttpReason.STATUS_UNEXPECTED
    assert [hop.said for hop in outcome.hops] == ["HTTP/2 500\nserver: a\nset-cookie: [redacted]\n\nno database"]


@pytest.mark.parametrize("answer", [raw(rst(2)), raw(http2.goaway(11)), raw(data(b"x"))])
async def test_frames_are_not_in_the_excerpt(authority: Authority, answer: Handler) -> None:
    async with serving(answer, speaking(authority, "h2")) as port:
        outcome = await probe(authority.ca_file, port)
    assert (outcome.status, [hop.said for hop in outcome.hops]) == (Status.DOWN, [""])


async def test_a_response_that_is_not_http_2_is_in_the_excerpt(authority: Authority) -> None:
    async with serving(blurts(b"SSH-2.0-OpenSSH_9.6\r\n"), speaking(authority, "h2")) as port:
        outcome = await probe(authority.ca_file, port)
    assert [hop.said for hop in outcome.hops] == ["SSH-2.0-OpenSSH_9.6"]


async def test_the_phases_are_those_of_the_second_connection(authority: Authority) -> None:
    refuses = raw(head([(":status", "103")]), rst(13))
    async with serving(by_protocol(refuses, hangs_up), speaking(authority, "h2", "1.1")) as port:
        outcome = await probe(authority.ca_file, port)
    assert outcome.reason == HttpReason.EMPTY_ANSWER
    assert list(outcome.hops[0].phases) == ["connect_s", "tls_s", "first_byte_s"]


async def test_the_request_head_equals_that_of_http_1_1(authority: Authority) -> None:
    seen: list[tuple[str, str]] = []

    async def answerer(exchange: Exchange) -> None:
        seen.extend(exchange.fields)
        await exchange.answer(http2.OK, b"")

    given = {"X-A": ["1", "2"], "HOST": "127.0.0.1:81", "Cookie": "a=b"}
    async with serving(serves(answerer), speaking(authority, "h2")) as port:
        await probe(authority.ca_file, port, headers=given, bearer_token="t0ken", method="PUT")
    assert seen[:4] == [(":method", "PUT"), (":scheme", "https"), (":authority", "127.0.0.1:81"), (":path", "/a?b")]
    assert seen[4:7] == [("user-agent", "Vedette/0.1"), ("accept", "*/*"), ("accept-encoding", "identity")]
    own = [("x-a", "1"), ("x-a", "2"), ("authorization", "Bearer t0ken"), ("cookie", "a=b"), ("content-length", "0")]
    assert sorted(seen[7:]) == sorted(own)


@pytest.mark.parametrize(("first", "version"), [("http/1.1", "any"), ("plain", "2")])
async def test_a_redirect_can_change_the_http_version(authority: Authority, first: str, version: str) -> None:
    async with AsyncExitStack() as stack:
        new = await stack.enter_async_context(serving(http2.page(), speaking(authority, "h2")))
        context = None if first == "plain" else speaking(authority, first)
        old = await stack.enter_async_context(serving(says(moved(f"https://127.0.0.1:{new}/")), context))
        outcome = await probe(authority.ca_file, old, "https" if context else "http", http_version=version)
    assert outcome.status is Status.UP, outcome
    assert [hop.facts["http_version"] for hop in outcome.hops] == ["1.1", "2"]


async def test_plain_http_is_not_http_2(authority: Authority) -> None:
    async with serving(says(page())) as port:
        outcome = await probe(authority.ca_file, port, "http", http_version="2")
    assert (outcome.status, outcome.reason) == (Status.DOWN, HttpReason.HTTP_VERSION)
    assert "HTTP/1.1" in outcome.detail


async def test_no_reference_cycles_remain(authority: Authority) -> None:
    handler = raw(head(), data(b"x", END_STREAM))
    async with serving(handler, speaking(authority, "h2")) as port, HttpProbe(ca_file=authority.ca_file) as probe:
        spec = HttpSpec(url=f"https://127.0.0.1:{port}/", http_version="2")
        assert (await probe(spec, 5)).status is Status.UP
        gc.collect()
        gc.disable()
        try:
            assert (await probe(spec, 5)).status is Status.UP
            left = [thing for thing in gc.get_objects() if type(thing).__name__ in ("H2Connection", "Answer", "Http2")]
        finally:
            gc.enable()
    assert left == []
