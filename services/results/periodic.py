"""Periodic background tasks with back-off."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import NoReturn

import structlog

from libs.bus.errors import BusError
from libs.store.core.errors import UnavailableError

_JITTER = 0.2
_PAUSE_S_MIN = 0.5
_PAUSE_S_MAX = 10.0

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class PeriodicTask:
    """Calls `work` every `every_s` seconds or when woken, and again at once if it returns True (more to do).

    After a failure it pauses with exponential back-off and logs the first one. Bugs are handled like outages, as one
    broken task must not stop the others.
    """

    def __init__(self, name: str, work: Callable[[], Awaitable[bool]], every_s: float) -> None:
        self._name = name
        self._work = work
        self._every_s = every_s
        self._wakeup = asyncio.Event()
        self._failures = 0

    def wake(self) -> None:
        self._wakeup.set()

    async def run(self) -> NoReturn:
        while True:
            self._wakeup.clear()
            more = await self._run_once()
            if self._failures:
                await asyncio.sleep(_jittered(min(_PAUSE_S_MAX, _PAUSE_S_MIN * 2 ** min(self._failures - 1, 9))))
            elif more:
                await asyncio.sleep(0)
            else:
                await self._wait()

    async def _run_once(self) -> bool:
        try:
            more = await self._work()
        except (UnavailableError, BusError, TimeoutError) as error:
            self._count_failure()
            if self._failures == 1:
                log.warning("periodic_task.unavailable", task=self._name, error=str(error) or type(error).__name__)
            return False
        except Exception:  # a bug: log it, and keep the other tasks running
            self._count_failure()
            if self._failures == 1:
                log.exception("periodic_task.failed", task=self._name)
            return False
        if self._failures:
            log.info("periodic_task.recovered", task=self._name, failures=self._failures)
            self._failures = 0
        return more

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(_jittered(self._every_s)):
                await self._wakeup.wait()
        except TimeoutError:
            return

    def _count_failure(self) -> None:
        self._failures += 1


def _jittered(seconds: float) -> float:
    return seconds * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - no secret
