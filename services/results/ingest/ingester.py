"""Batch handler of the RESULTS stream: a batch is one transaction, acknowledged after its commit.

A result that cannot be stored is found by bisecting the batch and becomes a dead letter. While PostgreSQL is
unavailable nothing is acknowledged, so that the stream keeps the results.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec
import structlog

from libs.bus.client.stored_message import StoredMessage
from libs.bus.connection import Bus
from libs.bus.dead_letters import publish_dead_letter
from libs.bus.errors import BusError
from libs.model.check import Result
from libs.store.core.errors import InvalidValueError, StoreError, UnavailableError
from libs.store.core.pool import Store
from services.results.ingest.batch_transaction import StoredBatch, store_batch
from services.results.ingest.partitions import PartitionManager
from services.results.metrics import ResultsMetrics

Clock = Callable[[], datetime]
TimeWindow = tuple[datetime, datetime]

_RETRY_DEADLINE_S = 10.0
_RETRY_PAUSE_S_MIN = 0.2
_RETRY_PAUSE_S_MAX = 2.0
_NAK_DELAY_S = 2.0

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_decode = msgspec.json.Decoder(Result).decode


class PendingResult(NamedTuple):
    """One result with the message that brought it."""

    message: StoredMessage
    result: Result


class ResultIngester:
    """Stores one batch after the other. `on_outbox` is called after a commit that added outbox messages."""

    def __init__(
        self, store: Store, bus: Bus, clock: Clock, partitions: PartitionManager, on_outbox: Callable[[], None]
    ) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._partitions = partitions
        self._on_outbox = on_outbox
        self._metrics = ResultsMetrics()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Stops waiting for an unavailable PostgreSQL: the batch is returned to the stream."""
        self._stopping.set()

    async def __call__(self, messages: list[StoredMessage]) -> None:
        started_s = asyncio.get_running_loop().time()
        window = self._partitions.storable_window()
        pending = [found for each in messages if (found := await self._decode_result(each, window))]
        try:
            if not await self._store_with_retry(pending):
                await _nak_all(pending)
                return
        except StoreError:
            log.exception("ingest.failed", results=len(pending))
            await _nak_all(pending)
            return
        self._metrics.observe_batch(len(messages), asyncio.get_running_loop().time() - started_s)
        self._metrics.lag_s.set((self._clock() - messages[-1].stored_at).total_seconds())

    async def _decode_result(self, message: StoredMessage, window: TimeWindow) -> PendingResult | None:
        try:
            result = _decode(message.data)
            _check_result(result, *window)
        except (msgspec.MsgspecError, ValueError, OverflowError) as error:
            await self._dead_letter(message, str(error))
            return None
        return PendingResult(message, result)

    async def _store_with_retry(self, pending: Sequence[PendingResult]) -> bool:
        """Returns True once the batch is stored; False if PostgreSQL stayed unavailable for too long."""
        loop = asyncio.get_running_loop()
        deadline, pause_s = loop.time() + _RETRY_DEADLINE_S, _RETRY_PAUSE_S_MIN
        while True:
            try:
                await self._store_results(pending)
            except UnavailableError as error:
                if loop.time() + pause_s > deadline or self._stopping.is_set():
                    log.warning("ingest.database_unavailable", results=len(pending), error=str(error))
                    return False
            else:
                return True
            await self._pause(pause_s)
            pause_s = min(2 * pause_s, _RETRY_PAUSE_S_MAX)

    async def _pause(self, pause_s: float) -> None:
        try:
            async with asyncio.timeout(pause_s):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _store_results(self, pending: Sequence[PendingResult]) -> None:
        if not pending:
            return
        now = self._clock()
        try:
            await self._partitions.ensure({each.result.tick_at.date() for each in pending})
            async with self._store.transaction() as db:
                stored = await store_batch(db, [each.result for each in pending], now)
        except UnavailableError:
            raise
        except StoreError as error:
            if not isinstance(error, InvalidValueError):
                raise
            await self._bisect(pending, error)
        except Exception as error:  # a bug that one result triggers must not block the others
            log.exception("ingest.unprocessable", results=len(pending))
            await self._bisect(pending, error)
        else:
            if stored.has_messages:
                self._on_outbox()
            self._count(stored)
            await self._ack(pending, stored)

    async def _bisect(self, pending: Sequence[PendingResult], error: Exception) -> None:
        if len(pending) == 1:
            await self._dead_letter(pending[0].message, str(error))
            return
        middle = len(pending) // 2
        await self._store_results(pending[:middle])
        await self._store_results(pending[middle:])

    async def _ack(self, pending: Sequence[PendingResult], stored: StoredBatch) -> None:
        for each in pending:
            if each.result in stored.foreign:
                await self._dead_letter(each.message, "the monitor belongs to another tenant")
            else:
                await each.message.ack()

    def _count(self, stored: StoredBatch) -> None:
        for status, count in stored.statuses.items():
            self._metrics.ingested.labels(status).inc(count)
        for change in stored.state_changes:
            self._metrics.state_changes.labels(change.new).inc()
        self._metrics.repeated.inc(stored.repeated)
        self._metrics.dropped.inc(stored.dropped)

    async def _dead_letter(self, message: StoredMessage, reason: str) -> None:
        try:
            await publish_dead_letter(self._bus, message, reason)
        except BusError as error:
            log.warning("ingest.dead_letter_failed", subject=message.subject, error=str(error))
            await message.nak(_NAK_DELAY_S)
            return
        self._metrics.dead_lettered.inc()
        log.warning("ingest.dead_lettered", subject=message.subject, reason=reason)
        await message.term()


def _check_result(result: Result, begin: datetime, end: datetime) -> None:
    if result.tick_at.tzinfo is not UTC or result.started_at.tzinfo is not UTC:
        raise ValueError("a timestamp is not in UTC")
    if not begin <= result.tick_at < end:
        raise ValueError(f"its tick {result.tick_at:%Y-%m-%d %H:%M:%S} is outside the retention period")


async def _nak_all(pending: Sequence[PendingResult]) -> None:
    for each in pending:
        await each.message.nak(_NAK_DELAY_S)
