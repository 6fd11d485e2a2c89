"""No leaks after ten thousand failing targets, and no blame for timeouts during event loop stalls."""

import asyncio
import gc
import time

import psutil
import pytest

from libs.model.outcome import Outcome, Reason, Status
from services.http.probe import HttpProbe
from services.http.spec import HttpReason, HttpSpec
from tests.support.targets import web
from tests.support.targets.bad import bad_targets
from tests.support.targets.web import serving

PROBES = 10_000
CONCURRENCY = 200
TIMEOUT_S = 1.0


async def probe_all(probe: HttpProbe, urls: list[str], count: int) -> set[str]:
    """Runs `count` probes over `urls` with bounded concurrency; returns the reasons."""
    numbers = iter(range(count))
    reasons: set[str] = set()

    async def work() -> None:
        for number in numbers:
            spec = HttpSpec(url=urls[number % len(urls)], body_bytes_max=32_768)
            outcome = await probe(spec, TIMEOUT_S)
            assert outcome.status is Status.DOWN or outcome.reason == Reason.LATE_LOOP, outcome
            reasons.add(outcome.reason)

    async with asyncio.TaskGroup() as group:
        for _ in range(CONCURRENCY):
            group.create_task(work())
    return reasons


@pytest.mark.timeout(120)
async def test_ten_thousand_bad_targets_leave_descriptors_and_memory_flat() -> None:
    process = psutil.Process()
    async with bad_targets() as ports, HttpProbe() as probe:
        urls = [f"{scheme}://127.0.0.1:{port}/" for port in ports for scheme in ("http", "https")]
        await probe_all(probe, urls, PROBES // 10)
        gc.collect()
        before = process.num_fds(), process.memory_info().rss
        reasons = await probe_all(probe, urls, PROBES)
        gc.collect()
        after = process.num_fds(), process.memory_info().rss
    assert len(reasons) >= len(ports)
    assert after[0] == before[0]
    assert after[1] - before[1] < 32 << 20


async def test_a_probe_that_is_cancelled_closes_its_connection() -> None:
    process = psutil.Process()
    async with serving(web.then_silence(b"")) as port, HttpProbe() as probe:
        before = process.num_fds()
        task = asyncio.ensure_future(probe(HttpSpec(url=f"http://127.0.0.1:{port}/"), 30))
        while process.num_fds() < before + 2:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert process.num_fds() < before + 2


@pytest.mark.parametrize("stall_s", [0.4, 0.75])  # most of the time; and over its end
async def test_a_timeout_inside_a_stall_of_the_loop_proves_nothing(stall_s: float) -> None:
    async with serving(web.then_silence(b"")) as port, HttpProbe() as probe:
        outcome = await stalled(probe, HttpSpec(url=f"http://127.0.0.1:{port}/"), stall_s)
    assert (outcome.status, outcome.reason) == (Status.UNKNOWN, Reason.LATE_LOOP)


async def test_a_short_stall_does_not_excuse_a_timeout() -> None:
    async with serving(web.then_silence(b"")) as port, HttpProbe() as probe:
        outcome = await stalled(probe, HttpSpec(url=f"http://127.0.0.1:{port}/"), 0.3, timeout_s=5)
    assert (outcome.status, outcome.reason) == (Status.DOWN, HttpReason.FIRST_BYTE_TIMEOUT)


async def stalled(probe: HttpProbe, spec: HttpSpec, stall_s: float, timeout_s: float = 0.6) -> Outcome:
    """Returns the outcome of a probe during which the event loop was blocked."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(probe(spec, timeout_s))
        await asyncio.sleep(0.05)
        time.sleep(stall_s)
    return task.result()
