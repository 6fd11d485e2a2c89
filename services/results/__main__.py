"""The results room: the only one with Postgres. Stores, folds, keeps schedules, answers questions."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from faststream.nats import NatsRouter

from libs.bus.streams import provision
from libs.process.run import run
from libs.process.service import Context, Running, Service
from libs.store.migrate import migrate
from libs.store.pool import open_store
from services.results import api


def service() -> Service:
    return Service(name="results", open=_open)


@asynccontextmanager
async def _open(context: Context) -> AsyncIterator[Running]:
    settings, bus, router = context.settings, context.bus, NatsRouter()
    async with open_store(settings.postgres_dsn, name="vedette results api") as store:
        await migrate(settings.postgres_dsn)
        await provision(bus, results_bytes_max=settings.results_bytes_max)
        api.answer(router, store, bus, context.clock, settings.shards)
        yield Running(router, {"results.postgres": store.ping})


if __name__ == "__main__":
    sys.exit(run(service()))
