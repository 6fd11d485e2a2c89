"""The way of results into Postgres: a batch is one transaction, acknowledged after its commit.

What Postgres or we cannot digest is found by halving the batch and set aside. While Postgres is away nothing is
acknowledged, so that the stream keeps what comes in the meantime.
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
from services.results.ingest.partitions import PartitionManager
from services.results.ingest.stored_batch import StoredBatch
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
    """Handles one batch after the other. `on_told` is called when there may be something to relay."""

    def __init__(
        self, store: Store, bus: Bus, clock: Clock, days: PartitionManager, on_told: Callable[[], None]
    ) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._partitions = days
        self._on_outbox = on_told
        self._metrics = ResultsMetrics()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Ends the patience with a Postgres that is away: the batch goes back to the stream."""
        self._stopping.set()

    async def __call__(self, deliveries: list[StoredMessage]) -> None:
        started_s = asyncio.get_running_loop().time()
        window = self._partitions.storable_window()
        arrivals = [arrival for each in deliveries if (arrival := await self._decode_result(each, window))]
        try:
            if not await self._store_with_retry(arrivals):
                await _nak_all(arrivals)
                return
        except StoreError:
            log.exception("ingest.failed", results=len(arrivals))
            await _nak_all(arrivals)
            return
        self._metrics.observe_batch(len(deliveries), asyncio.get_running_loop().time() - started_s)
        self._metrics.lag_s.set((self._clock() - deliveries[-1].stored_at).total_seconds())

    async def _decode_result(self, delivery: StoredMessage, window: TimeWindow) -> PendingResult | None:
        try:
            result = _decode(delivery.data)
            _check_result(result, *window)
        except (msgspec.MsgspecError, ValueError, OverflowError) as error:
            await self._dead_letter(delivery, str(error))
            return None
        return PendingResult(delivery, result)

    async def _store_with_retry(self, arrivals: Sequence[PendingResult]) -> bool:
        """Returns whether the batch is done with, and False when Postgres stayed away for too long."""
        loop = asyncio.get_running_loop()
        deadline, pause_s = loop.time() + _RETRY_DEADLINE_S, _RETRY_PAUSE_S_MIN
        while True:
            try:
                await self._store_results(arrivals)
            except UnavailableError as error:
                if loop.time() + pause_s > deadline or self._stopping.is_set():
                    log.warning("ingest.database_unavailable", results=len(arrivals), error=str(error))
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

    async def _store_results(self, arrivals: Sequence[PendingResult]) -> None:
        if not arrivals:
            return
        digest = StoredBatch([arrival.result for arrival in arrivals], self._clock())
        try:
            await self._partitions.ensure({arrival.result.tick_at.date() for arrival in arrivals})
            async with self._store.transaction() as db:
                await digest.store(db)
        except UnavailableError:
            raise
        except StoreError as error:
            if not isinstance(error, InvalidValueError):
                raise
            await self._bisect(arrivals, error)
        except Exception as error:  # a bug of ours that one result wakes must not block the others
            log.exception("ingest.unprocessable", results=len(arrivals))
            await self._bisect(arrivals, error)
        else:
            if digest.has_messages:
                self._on_outbox()
            self._metrics.count_stored(digest)
            await self._ack(arrivals, digest)

    async def _bisect(self, arrivals: Sequence[PendingResult], error: Exception) -> None:
        if len(arrivals) == 1:
            await self._dead_letter(arrivals[0].message, str(error))
            return
        middle = len(arrivals) // 2
        await self._store_results(arrivals[:middle])
        await self._store_results(arrivals[middle:])

    async def _ack(self, arrivals: Sequence[PendingResult], digest: StoredBatch) -> None:
        for arrival in arrivals:
            if arrival.result in digest.foreign:
                await self._dead_letter(arrival.message, "the monitor belongs to another tenant")
            else:
                await arrival.message.ack()

    async def _dead_letter(self, delivery: StoredMessage, reason: str) -> None:
        try:
            await publish_dead_letter(self._bus, delivery, reason)
        except BusError as error:
            log.warning("ingest.dead_letter_failed", subject=delivery.subject, error=str(error))
            await delivery.nak(_NAK_DELAY_S)
            return
        self._metrics.dead_lettered.inc()
        log.warning("ingest.dead_lettered", subject=delivery.subject, reason=reason)
        await delivery.term()


def _check_result(result: Result, begin: datetime, end: datetime) -> None:
    if result.tick_at.tzinfo is not UTC or result.started_at.tzinfo is not UTC:
        raise ValueError("an instant is not in UTC")
    if not begin <= result.tick_at < end:
        raise ValueError(f"its tick {result.tick_at:%Y-%m-%d %H:%M:%S} is outside the days that are kept")


async def _nak_all(arrivals: Sequence[PendingResult]) -> None:
    for arrival in arrivals:
        await arrival.message.nak(_NAK_DELAY_S)
