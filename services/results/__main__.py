"""The results room: the only one with Postgres. Stores, folds, keeps schedules, answers questions."""

import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from faststream.nats import NatsRouter

from libs.model.tenancy import Quota
from libs.process.errors import StartError
from libs.process.run import run
from libs.process.service import Context, Running, Service
from libs.process.settings import Settings
from libs.store.errors import StoreError
from libs.store.migrate import migrate
from libs.store.pool import Store, open_store
from services.results.answering import api
from services.results.answering.nats_access import nats_access
from services.results.answering.terms import Terms
from services.results.pipeline.running import pipeline


def service() -> Service:
    return Service(name="results", open=_open)


@asynccontextmanager
async def _open(context: Context) -> AsyncIterator[Running]:
    settings, router = context.settings, NatsRouter()
    async with (
        _prepared(settings.postgres_dsn) as store,
        pipeline(context, store, router) as running,
        nats_access(context, store, router),
    ):
        api.answer(router, api.handlers(store, context.bus, context.clock, _terms(settings), running.wake))
        yield Running(router, {"postgres": store.ping, **running.ready})


def _terms(settings: Settings) -> Terms:
    quota = Quota(monitors_max=settings.tenant_monitors_max, interval_s_min=settings.tenant_interval_s_min)
    return Terms(shards=settings.shards, quota=quota)


@asynccontextmanager
async def _prepared(dsn: str) -> AsyncIterator[Store]:
    """Opens the store with its tables in place; a database that cannot be used is told in one sentence."""
    async with AsyncExitStack() as stack:
        try:
            store = await stack.enter_async_context(open_store(dsn, name="vedette results"))
            await migrate(dsn)
        except StoreError as error:
            raise StartError(f"PostgreSQL cannot be used: {error}") from error
        yield store


if __name__ == "__main__":
    sys.exit(run(service()))
