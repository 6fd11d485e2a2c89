"""A gateway and the results service on a real NATS and PostgreSQL, in the event loop of the test."""

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
def start_gateway(nats_url: str, postgres_dsn: str) -> StartGateway:
    """Starts the gateway and the results service; entered in the test, whose task owns their tasks."""

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
async def second_gateway(instance: RunningGateway) -> AsyncIterator[RunningGateway]:
    """A second gateway on the same NATS."""
    settings = msgspec.structs.replace(instance.context.settings, port=free_port())
    async with running_services((gateway(),), settings) as context:
        yield RunningGateway(settings.port, instance.key, context)


@pytest.fixture
def served_gateway(start_gateway: StartGateway) -> Iterator[RunningGateway]:
    """A running gateway in its own thread, without rate limits, for tests that are not coroutines."""
    ready: Future[tuple[RunningGateway, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def live() -> None:
        stop = asyncio.Event()
        async with start_gateway(key_requests_per_s=0.0, tenant_requests_per_s=0.0) as instance:
            ready.set_result((instance, asyncio.get_running_loop(), stop))
            await stop.wait()

    with ThreadPoolExecutor(1) as thread:
        lived = thread.submit(asyncio.run, live())
        instance, loop, stop = ready.result(30)
        try:
            yield instance
        finally:
            loop.call_soon_threadsafe(stop.set)
            lived.result(30)
