"""Requests to real servers, and redaction of what they echo."""

from contextlib import AsyncExitStack

import msgspec
import pytest

from libs.model.outcome import Status
from services.http.options.headers import BasicAuth
from services.http.spec import HttpReason, HttpSpec
from tests.support.targets.probing import check_probe
from tests.support.targets.web import moved, page, routes, says, serving

TOKEN = "tok-3nr.Zq/x"


@pytest.mark.parametrize(
    "options",
    [
        {"bearer_token": TOKEN},
        {"basic_auth": BasicAuth(username="me", password=TOKEN)},
        {"headers": {"X-Api-Key": TOKEN}},
    ],
)
@pytest.mark.parametrize("answer", [moved(f"/{TOKEN}"), moved(f"/{TOKEN}?a={TOKEN}"), moved(f"ftp://{TOKEN}")])
async def test_an_echoed_secret_is_not_in_the_result(options: dict[str, object], answer: bytes) -> None:
    async with serving(routes({"/": answer})) as port:
        spec = msgspec.structs.replace(HttpSpec(url=f"http://127.0.0.1:{port}/"), **options)
        outcome = await check_probe(spec)
    assert outcome.status is Status.DOWN
    assert TOKEN not in repr(outcome)


async def test_credentials_are_sent_to_their_origin_only() -> None:
    async with AsyncExitStack() as stack:
        seen: list[bytes] = []
        other = await stack.enter_async_context(serving(routes({"/": page()}, seen)))
        home = await stack.enter_async_context(
            serving(routes({"/": moved("/a"), "/a": moved(f"http://127.0.0.1:{other}/")}, seen))
        )
        spec = HttpSpec(url=f"http://127.0.0.1:{home}/", bearer_token=TOKEN, headers={"X-A": ("1", "2")})
        outcome = await check_probe(spec)
    assert outcome.status is Status.UP
    assert [TOKEN.encode() in request for request in seen] == [True, True, False]
    assert [request.count(b"X-A: ") for request in seen] == [2, 2, 0]


async def test_the_host_of_the_host_header_is_the_same_host() -> None:
    async with AsyncExitStack() as stack:
        there = await stack.enter_async_context(serving(says(page())))
        here = await stack.enter_async_context(serving(says(moved(f"http://localhost:{there}/"))))
        spec = HttpSpec(url=f"http://127.0.0.1:{here}/", redirects_same_host=True)
        assert (await check_probe(spec)).reason == HttpReason.REDIRECT_OTHER_HOST
        named = msgspec.structs.replace(spec, headers={"Host": "localhost"})
        assert (await check_probe(named)).status is Status.UP
