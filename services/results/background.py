"""Background work of the results service: the ingest and the periodic tasks."""

import asyncio
import functools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from faststream.nats import NatsRouter

from libs.bus import provisioning, stream_configs, subjects
from libs.bus.batches import batch_subscriber
from libs.bus.connection import Bus
from libs.process.service import ReadyCheck, ServiceContext
from libs.process.tasks import cancel_and_wait
from libs.store.core.pool import Store
from services.results.ingest.ingester import ResultIngester
from services.results.ingest.partitions import PartitionManager
from services.results.outbox_publisher import OutboxPublisher
from services.results.periodic import PeriodicTask
from services.results.rollups.engine import RollupEngine
from services.results.rollups.retention import Retention
from services.results.scheduling.missed_ticks import MissedTickRecorder
from services.results.scheduling.schedule_publisher import SchedulePublisher

BATCH_MAX = 200
BATCH_LINGER_S = 0.2


@dataclass(frozen=True)
class BackgroundWork:
    """Running background work, as request handlers and health checks use it."""

    outbox_task: PeriodicTask
    schedules_task: PeriodicTask
    ready: Mapping[str, ReadyCheck]

    def wake(self) -> None:
        """Publishes the outbox and changed schedules at once, after a command has committed."""
        self.outbox_task.wake()
        self.schedules_task.wake()


@asynccontextmanager
async def background_work(context: ServiceContext, store: Store, router: NatsRouter) -> AsyncIterator[BackgroundWork]:
    """Provisions the streams, subscribes the ingest on `router` and runs the periodic tasks."""
    settings, bus, clock = context.settings, context.bus, context.clock
    provision = functools.partial(provisioning.provision, bus, results_bytes_max=settings.results_bytes_max)
    await provision()
    partitions = PartitionManager(store, clock, settings.results_keep_days)
    await partitions.create_ahead()
    schedule_publisher = SchedulePublisher(store, bus, clock, provision)
    missed_ticks = MissedTickRecorder(store, bus, clock, partitions)
    rollups = RollupEngine(
        store, clock, hourly_keep_days=settings.hourly_keep_days, daily_keep_days=settings.daily_keep_days
    )
    outbox_task = PeriodicTask("outbox", OutboxPublisher(store, bus).publish, 1.0)
    schedules_task = PeriodicTask("schedules", schedule_publisher.publish, 1.0)
    periodic_tasks = [
        outbox_task,
        schedules_task,
        PeriodicTask("checks_stream", schedule_publisher.check_stream, 5.0),
        PeriodicTask("missed_ticks", missed_ticks.record, 10.0),
        PeriodicTask("rollups", rollups.roll_up, 5.0),
        PeriodicTask("rollups_late", rollups.roll_up_late, 60.0),
        PeriodicTask("retention", Retention(store, clock, partitions, settings.audit_keep_days).remove_expired, 3600.0),
    ]
    ingest = ResultIngester(store, bus, clock, partitions, outbox_task.wake)
    batch_subscriber(
        router,
        subjects.RESULTS,
        stream_configs.INGEST_CONSUMER,
        ingest,
        batch_size=BATCH_MAX,
        linger_s=BATCH_LINGER_S,
        on_stop=ingest.stop,
    )
    guard = provisioning.watch_consumer(bus, subjects.RESULTS, stream_configs.INGEST_CONSUMER, provision)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(task.run()) for task in periodic_tasks]
        tasks.append(group.create_task(guard))
        try:
            yield BackgroundWork(outbox_task, schedules_task, {"ingest": functools.partial(_consumer_exists, bus)})
        finally:
            await cancel_and_wait(tasks)


async def _consumer_exists(bus: Bus) -> None:
    if not await provisioning.consumer_exists(bus, subjects.RESULTS, stream_configs.INGEST_CONSUMER):
        raise LookupError(f"NATS has no consumer {stream_configs.INGEST_CONSUMER} on {subjects.RESULTS}")
