"""A prober as a service: the consumer of its kind and location, the loop, and a guard over both."""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from faststream.nats import NatsRouter

from libs.bus import streams, subjects
from libs.bus.batches import batch_subscriber
from libs.bus.bus import Bus
from libs.model.probe import Probe
from libs.model.spec import Spec
from libs.net.stall import StallMeter
from libs.prober.loop import Limits, Loop
from libs.prober.meters import Meters
from libs.prober.reader import Reader
from libs.prober.runner import Runner
from libs.process.service import Context, Running, Service
from libs.process.settings import Settings
from libs.process.tasks import ended
from libs.sealing.sealer import Sealer

# All ticks of one second come at once. Started 500 at a time they kept the loop from its targets for so long that
# nearly half of the timeouts at 1,000 checks/s were held to be our own (`late_loop`); at 100, none was.
BATCH_SIZE = 100


def prober(spec: type[Spec], probe: Callable[[Settings], Probe[Any]]) -> Service:
    """Returns the service that runs the checks of one kind. `probe` makes the kind's probe from the settings."""
    kind = str(spec.__struct_config__.tag)
    return Service(kind, functools.partial(_opened, kind, spec, probe), needs=("results",))


@asynccontextmanager
async def _opened(
    kind: str, spec: type[Spec], make: Callable[[Settings], Probe[Any]], context: Context
) -> AsyncIterator[Running]:
    settings, bus = context.settings, context.bus
    meters = Meters(kind)
    consumer = subjects.checks_consumer(settings.location, kind)
    repair = functools.partial(streams.provision_prober, bus, settings.location, kind)
    await repair()
    async with (
        StallMeter(asyncio.get_running_loop()) as stalls,
        make(settings) as probe,
        _guarded(bus, consumer, repair),
    ):
        runner = Runner(probe, context.clock, meters, stalls)
        limits = Limits(settings.concurrency_max, settings.shutdown_grace_s)
        reader = Reader(spec, Sealer.of(settings.sealing_keys))
        async with Loop(bus, runner, reader, limits, meters).running() as loop:
            router = NatsRouter()
            batch_size = min(BATCH_SIZE, settings.concurrency_max)
            batch_subscriber(router, subjects.CHECKS, consumer, loop.take, batch_size=batch_size, on_stop=loop.stop)
            yield Running(router, {"consumer": functools.partial(_ready, bus, consumer)})


@asynccontextmanager
async def _guarded(bus: Bus, consumer: str, repair: Callable[[], Any]) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        guard = group.create_task(streams.guard(bus, subjects.CHECKS, consumer, repair))
        try:
            yield
        finally:
            await ended([guard])


async def _ready(bus: Bus, consumer: str) -> None:
    if not await streams.consumer_exists(bus, subjects.CHECKS, consumer):
        raise LookupError(f"the consumer {consumer} is not there")
