"""Concurrent execution of checks, bounded by a semaphore, one task for each check."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from libs.bus.checks import read_check
from libs.bus.client.stored_message import StoredMessage, nak_all
from libs.bus.connection import Bus
from libs.bus.dead_letters import publish_dead_letter
from libs.bus.errors import BusError
from libs.model.check import Result
from libs.model.outcome import Status
from libs.prober.executor import CheckExecutor
from libs.prober.prober_metrics import ProberMetrics
from libs.prober.result_publisher import publish_result
from libs.prober.spec_decoder import SpecDecoder

DEAD_LETTER_RETRY_S = 5.0

log = structlog.get_logger("vedette.prober")


@dataclass(frozen=True)
class RunnerLimits:
    """Number of concurrent checks, and seconds for which checks in flight may finish at shutdown."""

    concurrency_max: int
    grace_s: float


class CheckRunner:
    """Runs the checks that a subscriber passes to `start_checks`, while the context `running` is open.

    A slow target occupies its own slot only. While all slots are taken, `start_checks` does not return, so that no more
    checks are pulled: they stay in the stream, where any other prober can take them.
    """

    def __init__(
        self, bus: Bus, runner: CheckExecutor, reader: SpecDecoder, limits: RunnerLimits, meters: ProberMetrics
    ) -> None:
        self._bus = bus
        self._executor = runner
        self._decoder = reader
        self._limits = limits
        self._metrics = meters
        self._slots = asyncio.Semaphore(limits.concurrency_max)
        self._stopping = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._group = asyncio.TaskGroup()
        self._log = log.bind()  # avoids a new lazy logger for each line, also for suppressed ones

    @asynccontextmanager
    async def running(self) -> AsyncIterator["CheckRunner"]:
        """Accepts checks. On exit, those in flight may finish within the grace period; the rest is nak'ed."""
        async with self._group:
            yield self
            self.stop()
            await self._drain()

    async def start_checks(self, deliveries: list[StoredMessage]) -> None:
        """Starts the checks as slots become free; returns when all have started."""
        for number, delivery in enumerate(deliveries):
            await self._slots.acquire()
            if self._stopping:
                await nak_all(deliveries[number:])
                return
            task = self._group.create_task(self._process(delivery))
            self._tasks.add(task)
            task.add_done_callback(self._on_done)

    def stop(self) -> None:
        """Accepts no more checks; wakes `start_checks` if it waits for a slot."""
        if not self._stopping:
            self._stopping = True
            self._slots.release()

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._slots.release()

    async def _drain(self) -> None:
        if not self._tasks:
            return
        await asyncio.wait(self._tasks, timeout=self._limits.grace_s)
        if self._tasks:
            log.warning("prober.grace_period_exceeded", given_back=len(self._tasks))
        for task in self._tasks:
            task.cancel()

    async def _process(self, delivery: StoredMessage) -> None:
        self._metrics.in_flight.inc()
        try:
            await self._run_and_publish(delivery)
        except asyncio.CancelledError:
            await delivery.nak()
            raise
        except Exception:
            # Not acknowledged: it is delivered again, at most `max_deliver` times.
            log.exception("check.failed", subject=delivery.subject)
        finally:
            self._metrics.in_flight.dec()

    async def _run_and_publish(self, delivery: StoredMessage) -> None:
        try:
            check = read_check(delivery)
            spec = self._decoder.decode(check)
        except ValueError as error:
            await self._dead_letter(delivery, str(error))
            return
        result = await self._executor.run(check, spec)
        self._metrics.record_result(result)
        self._log_result(result)
        if await publish_result(self._bus, check, result):
            await delivery.ack()
        else:
            self._metrics.unpublished.inc()

    async def _dead_letter(self, delivery: StoredMessage, reason: str) -> None:
        log.error("check.dead_lettered", subject=delivery.subject, reason=reason)
        try:
            await publish_dead_letter(self._bus, delivery, reason)
        except BusError as error:
            log.warning("check.dead_letter_failed", subject=delivery.subject, error=str(error))
            await delivery.nak(delay=DEAD_LETTER_RETRY_S)
        else:
            self._metrics.dead_lettered.inc()
            await delivery.term()

    def _log_result(self, result: Result) -> None:
        """Logs one line per check. Checks that are up are logged at debug: there may be 1,000 a second."""
        log_line = self._log.debug if result.status is Status.UP else self._log.info
        log_line(
            "check.finished",
            monitor=result.monitor_id,
            kind=result.kind,
            location=result.location,
            origin=result.origin,
            status=result.status,
            reason=result.reason,
            duration_s=round(result.duration_s, 6),
        )
