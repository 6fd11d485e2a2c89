"""Responses while a component is down: fast, as problems, and recovery afterwards."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from faststream.nats import NatsRouter

from libs.bus.rpc import serve_rpc
from libs.model.requests.messages import Authenticate
from libs.model.tenancy import Principal
from libs.process.run import running_services
from libs.process.service import RunningService, Service, ServiceContext
from libs.process.settings import Settings
from services.gateway.__main__ import service as gateway
from services.gateway.access.authenticator import LOOKUP_S_MAX
from tests.integration.gateway.conftest import StartGateway
from tests.integration.gateway.native.test_native_api import V2, check_problem
from tests.support.client import Api
from tests.support.ports import free_port
from tests.support.servers import NatsServer, PostgresServer
from tests.support.wait import eventually
from tests.unit.gateway.invalid_bodies import VALID_MONITOR


async def test_without_the_results_service_every_request_is_refused_immediately(nats_url: str) -> None:
    settings = Settings(nats_url=nats_url, port=free_port(), health_port=0)
    async with running_services((gateway(),), settings), Api(settings.port, "vdt_any", timeout_s=5) as api:
        for path in ("/me", "/monitors", "/results/stream"):
            answer = await api.ask("GET", V2 + path)
            check_problem(answer, 503)
            assert answer.headers["retry-after"]
        assert (await api.ask("GET", "/health/live")).status == 200
        assert (await api.ask("GET", "/health/ready")).status == 503
        assert (await api.ask("GET", f"{V2}/openapi.json")).status == 200


async def test_while_nats_is_away_requests_are_refused_and_then_served_again(
    start_gateway: StartGateway, nats_server: NatsServer
) -> None:
    async with start_gateway() as instance, instance.api() as api:
        assert await api.get(f"{V2}/me")
        nats_server.kill()
        check_problem(await api.ask("POST", f"{V2}/monitors", VALID_MONITOR), 503)
        check_problem(await api.ask("GET", f"{V2}/monitors"), 503)
        check_problem(await api.ask("GET", f"{V2}/results/stream"), 503)
        assert (await api.ask("GET", "/health/live")).status == 200
        nats_server.start()

        async def is_served() -> bool:
            return (await api.ask("GET", f"{V2}/monitors")).status == 200

        assert await eventually(is_served, within_s=20, what="the API is back")
        assert (await api.get(f"{V2}/monitors"))["items"] == []  # what was refused is not done later


async def test_while_postgres_is_away_requests_are_refused_and_then_served_again(
    own_postgres_server: PostgresServer, start_gateway: StartGateway
) -> None:
    async with start_gateway(dsn=own_postgres_server.new_database()) as instance, instance.api() as api:
        assert await api.get(f"{V2}/me")
        own_postgres_server.kill()
        check_problem(await api.ask("GET", f"{V2}/monitors"), 503)
        own_postgres_server.start()

        async def is_served() -> bool:
            return (await api.ask("GET", f"{V2}/monitors")).status == 200

        assert await eventually(is_served, within_s=20, what="the API is back")


async def test_a_service_that_never_replies_costs_a_bounded_wait(nats_url: str) -> None:
    """The one stand-in: the real room always answers."""
    router = NatsRouter()

    async def never(_: Authenticate) -> Principal:
        await asyncio.Event().wait()
        raise AssertionError

    serve_rpc(router, Authenticate, never, timeout_s=LOOKUP_S_MAX + 1)
    settings = Settings(nats_url=nats_url, port=free_port(), health_port=0)
    async with (
        running_services((_fake_results(router), gateway()), settings),
        Api(settings.port, "vdt_any", timeout_s=2 * LOOKUP_S_MAX) as api,
    ):
        check_problem(await api.ask("GET", f"{V2}/me"), 503)


def _fake_results(router: NatsRouter) -> Service:
    @contextlib.asynccontextmanager
    async def opened(_: ServiceContext) -> AsyncIterator[RunningService]:
        yield RunningService(router)

    return Service("results", opened)
