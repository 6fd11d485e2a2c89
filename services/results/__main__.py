"""Entry point of the results service."""

import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from faststream.nats import NatsRouter

from libs.model.tenancy import Quota
from libs.process.errors import StartError
from libs.process.run import run
from libs.process.service import RunningService, Service, ServiceContext
from libs.process.settings import Settings
from libs.store.core.errors import StoreError
from libs.store.core.migrate import migrate
from libs.store.core.pool import Store, open_store
from services.results import request_router
from services.results.background import background_work
from services.results.nats_callout.callout_handler import open_nats_callout
from services.results.tenancy.quotas import QuotaPolicy


def service() -> Service:
    return Service(name="results", open=_open)


@asynccontextmanager
async def _open(context: ServiceContext) -> AsyncIterator[RunningService]:
    settings, router = context.settings, NatsRouter()
    async with (
        _open_store(settings.postgres_dsn) as store,
        background_work(context, store, router) as running,
        open_nats_callout(context, store, router),
    ):
        request_router.register_handlers(
            router,
            request_router.build_handlers(store, context.bus, context.clock, _quota_policy(settings), running.wake),
        )
        yield RunningService(router, {"postgres": store.ping, **running.ready})


def _quota_policy(settings: Settings) -> QuotaPolicy:
    quota = Quota(monitors_max=settings.tenant_monitors_max, interval_s_min=settings.tenant_interval_s_min)
    return QuotaPolicy(shards=settings.shards, quota=quota)


@asynccontextmanager
async def _open_store(dsn: str) -> AsyncIterator[Store]:
    """Opens the store and migrates it; raises StartError with one sentence if the database cannot be used."""
    async with AsyncExitStack() as stack:
        try:
            store = await stack.enter_async_context(open_store(dsn, name="vedette results"))
            await migrate(dsn)
        except StoreError as error:
            raise StartError(f"PostgreSQL cannot be used: {error}") from error
        yield store


if __name__ == "__main__":
    sys.exit(run(service()))
