"""Fixtures: a nats-server with one user per service, and a results service that answers the auth callout."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from libs.bus.client.message import Message
from libs.bus.connection import Bus
from libs.model.ids import new_id
from libs.model.requests.messages import CreateKey, DeleteKey
from libs.model.tenancy import KeyCreated, Scope
from libs.process.run import running_services
from libs.process.service import ServiceContext
from libs.process.settings import Settings
from libs.store.core.pool import open_store
from libs.store.tenancy import tenants
from services.results.__main__ import service as results
from tests.support.guarded_nats import GuardedNats, guarded_nats


@pytest.fixture
def guarded() -> Iterator[GuardedNats]:
    with guarded_nats() as (nats,):
        yield nats


@dataclass(frozen=True)
class Tenant:
    """A tenant with an admin key, created through the gateway."""

    id: str
    gateway: Bus

    async def key(
        self, *scopes: Scope, cidrs: list[str] | None = None, expires_at: datetime | None = None
    ) -> KeyCreated:
        request = CreateKey(
            tenant_id=self.id, name="k", scopes=list(scopes or [Scope.READ]), cidrs=cidrs or [], expires_at=expires_at
        )
        return await self.gateway.request(request)

    async def revoke(self, key: KeyCreated) -> None:
        await self.gateway.request(DeleteKey(tenant_id=self.id, key_id=key.id))


@dataclass(frozen=True)
class NatsDeployment:
    """The server, connections of the gateway and a prober, and the context of the results service."""

    nats: GuardedNats
    gateway: Bus
    prober: Bus
    context: ServiceContext

    async def tenant(self) -> Tenant:
        tenant_id = new_id()
        async with open_store(self.context.settings.postgres_dsn) as store, store.transaction() as db:
            await tenants.add(db, tenant_id, f"tenant {tenant_id}")
        tenant = Tenant(tenant_id, self.gateway)
        await tenant.key(Scope.ADMIN)  # the last one cannot be revoked
        return tenant

    async def publish_result(self, tenant_id: str, body: bytes = b"{}") -> None:
        await self.prober.publish(Message(f"results.{tenant_id}.local.http.m1", body))

    async def publish_event(self, tenant_id: str, body: bytes = b"{}") -> None:
        await self.context.bus.publish(Message(f"events.{tenant_id}.http.m1", body))


OpenDeployment = Callable[..., AbstractAsyncContextManager[NatsDeployment]]


@asynccontextmanager
async def open_deployment(
    nats: GuardedNats, dsn: str, beside: GuardedNats, **more: Any
) -> AsyncIterator[NatsDeployment]:
    """Opens a deployment on `nats`, with gateway and prober on the server `beside` it in the same cluster."""
    plain = {"postgres_dsn": dsn, "health_port": 0, "shutdown_grace_s": 2}
    async with (
        running_services((results(),), Settings(**{**plain, **nats.settings(), **more})) as context,
        Bus.open(beside.url("gateway"), name="gateway") as gateway,
        Bus.open(beside.url("prober_local"), name="prober") as prober,
    ):
        yield NatsDeployment(nats, gateway, prober, context)


@pytest.fixture
def house(guarded: GuardedNats, postgres_dsn: str) -> OpenDeployment:
    """Returns a function that opens a deployment; entered inside the test, whose task owns its tasks."""

    def open_it(**more: Any) -> AbstractAsyncContextManager[NatsDeployment]:
        return open_deployment(guarded, postgres_dsn, guarded, **more)

    return open_it
