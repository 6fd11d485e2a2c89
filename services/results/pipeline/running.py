"""Everything in this service that runs by itself, opened and closed as one."""

import asyncio
import functools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from faststream.nats import NatsRouter

from libs.bus import layout, streams, subjects
from libs.bus.batches import batch_subscriber
from libs.bus.bus import Bus
from libs.process.service import Context, ReadyCheck
from libs.process.tasks import ended
from libs.store.pool import Store
from services.results.pipeline.days import Days
from services.results.pipeline.ingest import Ingest
from services.results.pipeline.keeper import Keeper
from services.results.pipeline.loop import Loop
from services.results.pipeline.relay import Relay
from services.results.pipeline.retention import Retention
from services.results.pipeline.roller import Roller
from services.results.pipeline.sweep import Sweep

BATCH_MAX = 200
LINGER_S = 0.2


@dataclass(frozen=True)
class Pipeline:
    """What commands need of the running pipeline."""

    relay: Loop
    keeper: Loop
    ready: Mapping[str, ReadyCheck]

    def wake(self) -> None:
        """Has what a command just wrote to the outbox and to the schedules published at once."""
        self.relay.wake()
        self.keeper.wake()


@asynccontextmanager
async def pipeline(context: Context, store: Store, router: NatsRouter) -> AsyncIterator[Pipeline]:
    """Provisions the streams, subscribes the ingest on `router` and keeps all loops running."""
    settings, bus, clock = context.settings, context.bus, context.clock
    provision = functools.partial(streams.provision, bus, results_bytes_max=settings.results_bytes_max)
    await provision()
    days = Days(store, clock, settings.results_keep_days)
    await days.make_ahead()
    keeper = Keeper(store, bus, clock, provision)
    sweep = Sweep(store, bus, clock, days)
    roller = Roller(store, clock, hourly_keep_days=settings.hourly_keep_days, daily_keep_days=settings.daily_keep_days)
    relaying = Loop("relay", Relay(store, bus).work, 1.0)
    keeping = Loop("keeper", keeper.publish, 1.0)
    loops = [
        relaying,
        keeping,
        Loop("stream", keeper.look_after_stream, 5.0),
        Loop("sweep", sweep.work, 10.0),
        Loop("rollups", roller.roll, 5.0),
        Loop("rollups_late", roller.roll_again, 60.0),
        Loop("retention", Retention(store, clock, days, settings.audit_keep_days).work, 3600.0),
    ]
    ingest = Ingest(store, bus, clock, days, relaying.wake)
    batch_subscriber(
        router, subjects.RESULTS, layout.INGEST, ingest, batch_size=BATCH_MAX, linger_s=LINGER_S, on_stop=ingest.stop
    )
    guard = streams.guard(bus, subjects.RESULTS, layout.INGEST, provision)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(loop.run()) for loop in loops]
        tasks.append(group.create_task(guard))
        try:
            yield Pipeline(relaying, keeping, {"ingest": functools.partial(_consumer_exists, bus)})
        finally:
            await ended(tasks)


async def _consumer_exists(bus: Bus) -> None:
    if not await streams.consumer_exists(bus, subjects.RESULTS, layout.INGEST):
        raise LookupError(f"NATS has no consumer {layout.INGEST} on {subjects.RESULTS}")
