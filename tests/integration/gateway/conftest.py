"""A gateway and the results room on a real NATS and PostgreSQL, in the event loop of the test."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from libs.model.requests.messages import Bootstrap
from libs.model.tenancy import api_key_digest, new_api_key
from libs.process.run import running_services
from libs.process.service import Service, ServiceContext
from libs.process.settings import Settings
from services.gateway.__main__ import service as gateway
from services.results.__main__ import service as results
from tests.support.client import Api
from tests.support.ports import free_port


@dataclass(frozen=True)
class RunningGateway:
    """An open gateway: where it listens, the admin key of its tenant, and the process's context."""

    port: int
    key: str
    context: ServiceContext

    def api(self, key: str | None = None) -> Api:
        return Api(self.port, self.key if key is None else key)


StartGateway = Callable[..., AbstractAsyncContextManager[RunningGateway]]


@pytest.fixture
def house(nats_url: str, postgres_dsn: str) -> StartGateway:
    """Opens a house; entered inside the test, because its tasks belong to the task that opens it."""

    @asynccontextmanager
    async def opened(*others: Service, dsn: str = postgres_dsn, **more: Any) -> AsyncIterator[RunningGateway]:
        settings = Settings(
            nats_url=nats_url, postgres_dsn=dsn, port=free_port(), health_port=0, shutdown_grace_s=2, **more
        )
        async with running_services((results(), gateway(), *others), settings) as context:
            secret = new_api_key()
            assert await context.bus.request(Bootstrap(tenant_name="first", key_sha256=api_key_digest(secret)))
            yield RunningGateway(settings.port, secret, context)

    return opened


@asynccontextmanager
async def second_gateway(home: RunningGateway) -> AsyncIterator[RunningGateway]:
    """A second gateway on the same NATS."""
    settings = msgspec.structs.replace(home.context.settings, port=free_port())
    async with running_services((gateway(),), settings) as context:
        yield RunningGateway(settings.port, home.key, context)


@pytest.fixture
def served(house: StartGateway) -> Iterator[RunningGateway]:
    """An open house in a thread of its own, for tests that are no coroutines and send more than a key may."""
    ready: Future[tuple[RunningGateway, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def live() -> None:
        stop = asyncio.Event()
        async with house(key_requests_per_s=0.0, tenant_requests_per_s=0.0) as home:
            ready.set_result((home, asyncio.get_running_loop(), stop))
            await stop.wait()

    with ThreadPoolExecutor(1) as thread:
        lived = thread.submit(asyncio.run, live())
        home, loop, stop = ready.result(30)
        try:
            yield home
        finally:
            loop.call_soon_threadsafe(stop.set)
            lived.result(30)
