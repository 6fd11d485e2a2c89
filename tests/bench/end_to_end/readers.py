"""A client that reads the API at a modest rate while everything else is under load."""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta

from tests.bench.end_to_end.options import Options
from tests.support.client import Api


class Readings:
    """How long each kind of read took, in seconds."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, list[float]] = defaultdict(list)
        self.failures = 0

    def add(self, name: str, taken_s: float, *, good: bool) -> None:
        self.seconds[name].append(taken_s)
        self.failures += not good

    def summary(self) -> dict[str, dict[str, float]]:
        return {name: _summary(values) for name, values in sorted(self.seconds.items())}

    def overall(self) -> dict[str, float]:
        return _summary([value for values in self.seconds.values() for value in values])


Reader = Callable[[asyncio.Event], Coroutine[None, None, Readings]]


def read_for(api: Api, ids: list[str], options: Options) -> Reader:
    """Returns the client: told when to end, it returns what it saw."""
    paths = _paths(ids)
    pause_s = 1 / options.reads_per_s

    async def read(ended: asyncio.Event) -> Readings:
        readings = Readings()
        while not ended.is_set():
            for name, path in paths.items():
                started = time.perf_counter()
                answer = await api.ask("GET", path())
                taken_s = time.perf_counter() - started
                readings.add(name, taken_s, good=answer.status == 200)
                await asyncio.sleep(max(0.0, pause_s - taken_s))
        return readings

    return read


def _paths(ids: list[str]) -> dict[str, Callable[[], str]]:
    def one() -> str:
        return f"/api/v2/monitors/{random.choice(ids)}"

    def uptime() -> str:
        now = datetime.now(UTC).replace(microsecond=0)
        span = f"from={_instant(now - timedelta(days=1))}&to={_instant(now)}"
        return f"{one()}/uptime?{span}"

    return {
        "list": lambda: "/api/v2/monitors?limit=50",
        "monitor": one,
        "results": lambda: f"{one()}/results?limit=50",
        "uptime": uptime,
    }


def _instant(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _summary(values: list[float]) -> dict[str, float]:
    ordered = sorted(values) or [0.0]
    return {
        "reads": len(values),
        "p50_s": ordered[len(ordered) // 2],
        "p99_s": ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))],
        "max_s": ordered[-1],
    }
