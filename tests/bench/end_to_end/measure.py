"""One run of the bench: start, fill, warm up, measure, settle."""

import asyncio
import contextlib
import os
from dataclasses import dataclass
from datetime import UTC, datetime

import asyncpg

from tests.bench.end_to_end import monitors, stored, usage
from tests.bench.end_to_end.options import Options
from tests.bench.end_to_end.plant import Plant
from tests.bench.end_to_end.progress import Progress
from tests.bench.end_to_end.readers import Reader, Readings, read_for
from tests.bench.end_to_end.stored import Lateness, Window
from tests.support.client import Api

_PUBLISH_WITHIN_S = 300
_SETTLE_WITHIN_S = 20


@dataclass(frozen=True)
class Figures:
    """Everything that one run measured. Processor time is per stored check."""

    window: Window
    checks: int
    ticks_expected: int
    ticks_stored: int
    cpu_s: dict[str, float]
    memory_bytes: dict[str, int]
    groups: dict[str, Lateness]
    readings: Readings
    load_average: float


@dataclass(frozen=True)
class _Load:
    window: Window
    cpu_s: dict[str, float]
    memory_bytes: dict[str, int]
    readings: Readings
    load_average: float


async def measure(plant: Plant, options: Options, progress: Progress) -> Figures:
    async with (
        asyncpg.create_pool(plant.cluster.dsn, min_size=1, max_size=2) as pool,
        Api(plant.cluster.api_port, plant.cluster.key) as api,
    ):
        with progress.phase("write monitors", options.monitors) as advance:
            ids = await monitors.create(pool, options, plant.target)
            advance(options.monitors)
        with progress.phase("publish schedules", options.monitors) as advance:
            await monitors.await_published(pool, options, _PUBLISH_WITHIN_S, advance)
        # One interval, in which every monitor ticks once, and a little for what the start stirred up.
        await _pass(progress, "warm up", options.interval_s + 5)
        load = await _watch(plant, options, progress, read_for(api, ids, options))
        expected = stored.expected_ticks(ids, options, load.window)
        await _settle(progress, pool, load.window, expected)
        return await _figures(pool, options, load, expected)


async def _watch(plant: Plant, options: Options, progress: Progress, read: Reader) -> _Load:
    pids = plant.pids() | {"bench": [os.getpid()]}
    ended = asyncio.Event()
    from_at, before = datetime.now(UTC), _cpu(pids)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(read(ended))
        peak = group.create_task(_peak_memory(ended, pids))
        await _pass(progress, "measure", options.seconds)
        after, window = _cpu(pids), Window(from_at, datetime.now(UTC))
        ended.set()
    cpu_s = {name: after[name] - before[name] for name in pids}
    return _Load(window, cpu_s, peak.result(), reading.result(), os.getloadavg()[0])


async def _figures(pool: monitors.Pool, options: Options, load: _Load, expected: int) -> Figures:
    groups = {"healthy": options.monitors - options.hanging_monitors, "hanging": options.hanging_monitors}
    return Figures(
        window=load.window,
        checks=await stored.stored_checks(pool, load.window),
        ticks_expected=expected,
        ticks_stored=await stored.stored_ticks(pool, load.window),
        cpu_s=load.cpu_s,
        memory_bytes=load.memory_bytes,
        groups={name: await stored.lateness(pool, load.window, name) for name, count in groups.items() if count},
        readings=load.readings,
        load_average=load.load_average,
    )


async def _settle(progress: Progress, pool: monitors.Pool, window: Window, expected: int) -> None:
    """Waits for the results of the last checks, some of which may still be running into their timeout."""
    with progress.phase("settle", expected) as advance:
        for _ in range(_SETTLE_WITHIN_S):
            advance(await stored.stored_ticks(pool, window))
            await asyncio.sleep(1)
            if await stored.stored_ticks(pool, window) >= expected:
                return


async def _pass(progress: Progress, name: str, seconds: int) -> None:
    with progress.phase(name, seconds) as advance:
        for second in range(seconds):
            advance(second)
            await asyncio.sleep(1)


async def _peak_memory(ended: asyncio.Event, pids: dict[str, list[int]]) -> dict[str, int]:
    peak = dict.fromkeys(pids, 0)
    while not ended.is_set():
        for name, roots in pids.items():
            # In a thread, because the client of the API is timed in this one.
            peak[name] = max(peak[name], await asyncio.to_thread(usage.memory_bytes, roots))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), usage.PEAK_EVERY_S)
    return peak


def _cpu(pids: dict[str, list[int]]) -> dict[str, float]:
    return {name: usage.cpu_s(roots) for name, roots in pids.items()}
