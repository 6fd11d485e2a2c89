"""Targets that misbehave in every way, asked about over the whole bus: each has its reason, and nothing is left over."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import psutil
import pytest

from libs.model.outcome import Reason
from tests.support.client import Api
from tests.support.targets import web
from tests.support.wait import eventually
from tests.system.site import Site

MIB = 1 << 20
CONNECTIONS = 32
TIMEOUT_S = 1.0
WARM_UP, ROUNDS = 10, 60
# What a few checks more or less in flight may hold.
DESCRIPTORS_MORE, MEMORY_MORE = 20, 24 * MIB

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n"
BAD: dict[str, web.Handler] = {
    "garbage": web.says(b"\x00\xff what is this?\r\n\r\n"),
    "half a head, then reset": web.then_reset(HEAD),
    "half a body, then reset": web.then_reset(HEAD + b"content-length: 100\r\n\r\nhalf"),
    "half a head, then silence": web.then_silence(HEAD),
    "a dripping head": web.dripping(HEAD + b"x: ", b"y"),
    "a dripping body": web.dripping(HEAD + b"content-length: 100000\r\n\r\n", b"y"),
    "an endless head": web.endless(HEAD, b"x: " + b"y" * 1000 + b"\r\n"),
    "an endless body": web.endless(HEAD + b"\r\n", b"y" * 65536),
    "hangs up": web.hangs_up,
    "hangs up at once": web.hangs_up_at_once,
}


@pytest.fixture
async def urls() -> AsyncIterator[list[str]]:
    async with AsyncExitStack() as stack:
        ports = [await stack.enter_async_context(web.serving(handler)) for handler in BAD.values()]
        yield [f"http://127.0.0.1:{port}/" for port in ports]


@pytest.mark.timeout(180)
async def test_bad_targets_leave_no_descriptor_and_no_memory_behind(site: Site, urls: list[str]) -> None:
    prober = psutil.Process(site.cluster.services["http"].process.pid)
    await _check(site, urls * WARM_UP)
    descriptors, memory = prober.num_fds(), prober.memory_info().rss
    answers = await _check(site, urls * ROUNDS)
    assert answers.total() == len(urls) * ROUNDS
    # A prober that was itself kept waiting, beside other tests, says so and blames nobody.
    assert {reason for status, reason in answers if status == "unknown"} <= {Reason.LATE_LOOP}

    async def let_go() -> bool:
        return prober.num_fds() <= descriptors + DESCRIPTORS_MORE

    await eventually(let_go, within_s=10, what=f"{descriptors} descriptors again")
    assert prober.memory_info().rss <= memory + MEMORY_MORE


async def _check(site: Site, urls: list[str]) -> Counter[tuple[str, str]]:
    """Asks for a check of each URL over a few connections; returns how often each verdict came."""
    waiting = iter(urls)
    answers: Counter[tuple[str, str]] = Counter()

    async def work() -> None:
        async with Api(site.cluster.api_port, site.cluster.key) as api:
            for url in waiting:
                body = {"spec": {"kind": "http", "url": url}, "timeout_s": TIMEOUT_S}
                result = await api.post("/api/v2/checks", body)
                answers[result["status"], result["reason"]] += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(work())
    return answers
