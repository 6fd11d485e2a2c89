"""Taking checks: bounded, each a task of its own, none waiting for another."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from libs.bus.aside import set_aside
from libs.bus.bus import Bus
from libs.bus.checks import read_check
from libs.bus.delivery import Delivery, give_back
from libs.bus.errors import BusError
from libs.model.check import Result
from libs.model.outcome import Status
from libs.prober.deliver import deliver
from libs.prober.meters import Meters
from libs.prober.reader import Reader
from libs.prober.runner import Runner

ASIDE_RETRY_S = 5.0

log = structlog.get_logger("vedette.prober")


@dataclass(frozen=True)
class Limits:
    """How many checks run at once, and how long those in flight may still take when the service ends."""

    concurrency_max: int
    grace_s: float


class Loop:
    """Runs the checks that a subscriber hands to `take`, as long as `running` is entered.

    A slow target holds its own slot and nothing else. When all slots are taken, `take` does not return,
    so that no more checks are pulled: they wait at the server, where any other prober can have them.
    """

    def __init__(self, bus: Bus, runner: Runner, reader: Reader, limits: Limits, meters: Meters) -> None:
        self._bus = bus
        self._runner = runner
        self._reader = reader
        self._limits = limits
        self._meters = meters
        self._slots = asyncio.Semaphore(limits.concurrency_max)
        self._stopping = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._group = asyncio.TaskGroup()
        self._log = log.bind()  # the lazy logger would be made anew for each line, also for one that is not written

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Loop"]:
        """Lets checks run. At the end those in flight may finish within the grace; the rest is given back."""
        async with self._group:
            yield self
            self.stop()
            await self._drain()

    async def take(self, deliveries: list[Delivery]) -> None:
        """Starts the checks as slots come free; returns when all have started."""
        for number, delivery in enumerate(deliveries):
            await self._slots.acquire()
            if self._stopping:
                await give_back(deliveries[number:])
                return
            task = self._group.create_task(self._settle(delivery))
            self._tasks.add(task)
            task.add_done_callback(self._done)

    def stop(self) -> None:
        """Takes no more; wakes `take` if it waits for a slot."""
        if not self._stopping:
            self._stopping = True
            self._slots.release()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._slots.release()

    async def _drain(self) -> None:
        if not self._tasks:
            return
        await asyncio.wait(self._tasks, timeout=self._limits.grace_s)
        if self._tasks:
            log.warning("prober.grace_over", given_back=len(self._tasks))
        for task in self._tasks:
            task.cancel()

    async def _settle(self, delivery: Delivery) -> None:
        self._meters.in_flight.inc()
        try:
            await self._check(delivery)
        except asyncio.CancelledError:
            await delivery.nak()
            raise
        except Exception:
            # Left unsettled: it comes again, a bounded number of times.
            log.exception("check.failed", subject=delivery.subject)
        finally:
            self._meters.in_flight.dec()

    async def _check(self, delivery: Delivery) -> None:
        try:
            check = read_check(delivery)
            spec = self._reader.read(check)
        except ValueError as error:
            await self._set_aside(delivery, str(error))
            return
        result = await self._runner.run(check, spec)
        self._meters.finished(result)
        self._tell(result)
        if await deliver(self._bus, check, result):
            await delivery.ack()
        else:
            self._meters.unpublished.inc()

    async def _set_aside(self, delivery: Delivery, reason: str) -> None:
        log.error("check.set_aside", subject=delivery.subject, reason=reason)
        try:
            await set_aside(self._bus, delivery, reason)
        except BusError as error:
            log.warning("check.not_set_aside", subject=delivery.subject, error=str(error))
            await delivery.nak(delay=ASIDE_RETRY_S)
        else:
            self._meters.aside.inc()
            await delivery.term()

    def _tell(self, result: Result) -> None:
        """One line per check; at a thousand checks a second, the ones that are up are for debugging only."""
        tell = self._log.debug if result.status is Status.UP else self._log.info
        tell(
            "check.finished",
            monitor=result.monitor_id,
            kind=result.kind,
            location=result.location,
            origin=result.origin,
            status=result.status,
            reason=result.reason,
            duration_s=round(result.duration_s, 6),
        )
