"""Patterns run in their own threads, which block nothing else and end with the probe."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from libs.model.outcome import Outcome, Reason, Status
from services.http.probe import HttpProbe
from services.http.spec import HttpSpec
from tests.support.targets.web import page, says, serving


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("patterns")]


async def probed(probe: HttpProbe, timeout_s: float = 5.0) -> Outcome:
    async with serving(says(page())) as port:
        return await probe(HttpSpec(url=f"http://127.0.0.1:{port}/", body_matches=("^Hello",)), timeout_s)


async def test_a_busy_default_pool_does_not_delay_patterns() -> None:
    free = threading.Event()
    with ThreadPoolExecutor(1) as others:
        asyncio.get_running_loop().set_default_executor(others)
        others.submit(free.wait)
        try:
            async with HttpProbe() as probe:
                assert (await probed(probe)).status is Status.UP
        finally:
            free.set()


async def test_a_pattern_timeout_is_unknown() -> None:
    free = threading.Event()
    async with HttpProbe() as probe:
        for _ in range(2):
            probe._threads.submit(free.wait)
        try:
            outcome = await probed(probe, 0.3)
        finally:
            free.set()
        assert (outcome.status, outcome.reason) == (Status.UNKNOWN, Reason.LATE_LOOP)
        assert (await probed(probe)).status is Status.UP


async def test_the_threads_end_with_the_probe() -> None:
    before = threads()
    async with HttpProbe() as probe:
        assert (await probed(probe)).status is Status.UP
        own = [thread for thread in threads() if thread not in before]
        assert 1 <= len(own) <= 2
    for thread in own:
        await asyncio.to_thread(thread.join)  # would block forever if they were not shut down
