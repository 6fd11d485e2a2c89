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

from libs.bus.aside import set_aside
from libs.bus.bus import Bus
from libs.bus.delivery import Delivery
from libs.bus.errors import BusError
from libs.model.check import Result
from libs.store.errors import StoreError, UnavailableError, ValueRefusedError
from libs.store.pool import Store
from services.results.pipeline.days import Days
from services.results.pipeline.digest import Digest
from services.results.pipeline.meter import Meter

Clock = Callable[[], datetime]
Window = tuple[datetime, datetime]

_PATIENCE_S = 10.0
_PAUSE_S_MIN = 0.2
_PAUSE_S_MAX = 2.0
_RETURN_DELAY_S = 2.0

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_decode = msgspec.json.Decoder(Result).decode


class Arrival(NamedTuple):
    """One result with the message that brought it."""

    delivery: Delivery
    result: Result


class Ingest:
    """Handles one batch after the other. `on_told` is called when there may be something to relay."""

    def __init__(self, store: Store, bus: Bus, clock: Clock, days: Days, on_told: Callable[[], None]) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._days = days
        self._on_told = on_told
        self._meter = Meter()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Ends the patience with a Postgres that is away: the batch goes back to the stream."""
        self._stopping.set()

    async def __call__(self, deliveries: list[Delivery]) -> None:
        started_s = asyncio.get_running_loop().time()
        window = self._days.window()
        arrivals = [arrival for each in deliveries if (arrival := await self._read(each, window))]
        try:
            if not await self._patiently(arrivals):
                await _give_back(arrivals)
                return
        except StoreError:
            log.exception("ingest.failed", results=len(arrivals))
            await _give_back(arrivals)
            return
        self._meter.batch(len(deliveries), asyncio.get_running_loop().time() - started_s)
        self._meter.lag_s.set((self._clock() - deliveries[-1].stored_at).total_seconds())

    async def _read(self, delivery: Delivery, window: Window) -> Arrival | None:
        try:
            result = _decode(delivery.data)
            _check(result, *window)
        except (msgspec.MsgspecError, ValueError, OverflowError) as error:
            await self._set_aside(delivery, str(error))
            return None
        return Arrival(delivery, result)

    async def _patiently(self, arrivals: Sequence[Arrival]) -> bool:
        """Returns whether the batch is done with, and False when Postgres stayed away for too long."""
        loop = asyncio.get_running_loop()
        deadline, pause_s = loop.time() + _PATIENCE_S, _PAUSE_S_MIN
        while True:
            try:
                await self._store_all(arrivals)
            except UnavailableError as error:
                if loop.time() + pause_s > deadline or self._stopping.is_set():
                    log.warning("ingest.waiting", results=len(arrivals), error=str(error))
                    return False
            else:
                return True
            await self._pause(pause_s)
            pause_s = min(2 * pause_s, _PAUSE_S_MAX)

    async def _pause(self, pause_s: float) -> None:
        try:
            async with asyncio.timeout(pause_s):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _store_all(self, arrivals: Sequence[Arrival]) -> None:
        if not arrivals:
            return
        digest = Digest([arrival.result for arrival in arrivals], self._clock())
        try:
            await self._days.ensure({arrival.result.tick_at.date() for arrival in arrivals})
            async with self._store.transaction() as db:
                await digest.store(db)
        except UnavailableError:
            raise
        except StoreError as error:
            if not isinstance(error, ValueRefusedError):
                raise
            await self._halve(arrivals, error)
        except Exception as error:  # a bug of ours that one result wakes must not block the others
            log.exception("ingest.indigestible", results=len(arrivals))
            await self._halve(arrivals, error)
        else:
            if digest.has_told:
                self._on_told()
            self._meter.digested(digest)
            await self._settle(arrivals, digest)

    async def _halve(self, arrivals: Sequence[Arrival], error: Exception) -> None:
        if len(arrivals) == 1:
            await self._set_aside(arrivals[0].delivery, str(error))
            return
        middle = len(arrivals) // 2
        await self._store_all(arrivals[:middle])
        await self._store_all(arrivals[middle:])

    async def _settle(self, arrivals: Sequence[Arrival], digest: Digest) -> None:
        for arrival in arrivals:
            if arrival.result in digest.foreign:
                await self._set_aside(arrival.delivery, "the monitor belongs to another tenant")
            else:
                await arrival.delivery.ack()

    async def _set_aside(self, delivery: Delivery, reason: str) -> None:
        try:
            await set_aside(self._bus, delivery, reason)
        except BusError as error:
            log.warning("ingest.not_set_aside", subject=delivery.subject, error=str(error))
            await delivery.nak(_RETURN_DELAY_S)
            return
        self._meter.set_aside.inc()
        log.warning("ingest.set_aside", subject=delivery.subject, reason=reason)
        await delivery.term()


def _check(result: Result, begin: datetime, end: datetime) -> None:
    if result.tick_at.tzinfo is not UTC or result.started_at.tzinfo is not UTC:
        raise ValueError("an instant is not in UTC")
    if not begin <= result.tick_at < end:
        raise ValueError(f"its tick {result.tick_at:%Y-%m-%d %H:%M:%S} is outside the days that are kept")


async def _give_back(arrivals: Sequence[Arrival]) -> None:
    for arrival in arrivals:
        await arrival.delivery.nak(_RETURN_DELAY_S)
