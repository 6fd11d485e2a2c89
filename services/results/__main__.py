"""The results room: the only one with Postgres. Stores, folds, keeps schedules, answers questions."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from faststream.nats import NatsRouter

from libs.process.run import run
from libs.process.service import Context, Running, Service
from libs.store.migrate import migrate
from libs.store.pool import open_store
from services.results.answering import api
from services.results.pipeline.running import pipeline


def service() -> Service:
    return Service(name="results", open=_open)


@asynccontextmanager
async def _open(context: Context) -> AsyncIterator[Running]:
    settings, router = context.settings, NatsRouter()
    async with open_store(settings.postgres_dsn, name="vedette results") as store:
        await migrate(settings.postgres_dsn)
        async with pipeline(context, store, router) as running:
            api.answer(router, api.handlers(store, context.bus, context.clock, settings.shards, running.wake))
            yield Running(router, {"postgres": store.ping, **running.ready})


if __name__ == "__main__":
    sys.exit(run(service()))
