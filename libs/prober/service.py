"""Prober service of one kind: its consumer, the check runner, and the watch over the consumer."""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from faststream.nats import NatsRouter

from libs.bus import provisioning, subjects
from libs.bus.batches import batch_subscriber
from libs.bus.connection import Bus
from libs.model.probe import Probe
from libs.model.spec import Spec
from libs.net.stall import StallMeter
from libs.prober.check_runner import CheckRunner, RunnerLimits
from libs.prober.executor import CheckExecutor
from libs.prober.prober_metrics import ProberMetrics
from libs.prober.spec_decoder import SpecDecoder
from libs.process.service import RunningService, Service, ServiceContext
from libs.process.settings import Settings
from libs.process.tasks import cancel_and_wait
from libs.sealing.sealer import Sealer

# All ticks of one second arrive at once. Started 500 at a time they blocked the event loop for so long that nearly half
# of the timeouts at 1,000 checks/s were attributed to the prober (`late_loop`); at 100, none was.
BATCH_SIZE = 100


def prober(spec: type[Spec], probe: Callable[[Settings], Probe[Any]]) -> Service:
    """Returns the service that runs the checks of one kind. `probe` makes its probe from the settings."""
    kind = str(spec.__struct_config__.tag)
    return Service(kind, functools.partial(_open, kind, spec, probe), needs=("results",))


@asynccontextmanager
async def _open(
    kind: str, spec: type[Spec], make: Callable[[Settings], Probe[Any]], context: ServiceContext
) -> AsyncIterator[RunningService]:
    settings, bus = context.settings, context.bus
    meters = ProberMetrics(kind)
    consumer = subjects.checks_consumer(settings.location, kind)
    repair = functools.partial(provisioning.provision_prober, bus, settings.location, kind)
    await repair()
    async with (
        StallMeter(asyncio.get_running_loop()) as stalls,
        make(settings) as probe,
        _watched_consumer(bus, consumer, repair),
    ):
        runner = CheckExecutor(probe, context.clock, meters, stalls)
        limits = RunnerLimits(settings.concurrency_max, settings.shutdown_grace_s)
        reader = SpecDecoder(spec, Sealer.from_texts(settings.sealing_keys))
        async with CheckRunner(bus, runner, reader, limits, meters).running() as loop:
            router = NatsRouter()
            batch_size = min(BATCH_SIZE, settings.concurrency_max)
            batch_subscriber(
                router, subjects.CHECKS, consumer, loop.start_checks, batch_size=batch_size, on_stop=loop.stop
            )
            yield RunningService(router, {"consumer": functools.partial(_check_consumer, bus, consumer)})


@asynccontextmanager
async def _watched_consumer(bus: Bus, consumer: str, repair: Callable[[], Any]) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        guard = group.create_task(provisioning.watch_consumer(bus, subjects.CHECKS, consumer, repair))
        try:
            yield
        finally:
            await cancel_and_wait([guard])


async def _check_consumer(bus: Bus, consumer: str) -> None:
    if not await provisioning.consumer_exists(bus, subjects.CHECKS, consumer):
        raise LookupError(f"the consumer {consumer} is not there")
