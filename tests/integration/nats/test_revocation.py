"""Revoked and expired keys: their NATS connections are closed at once, by any process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import pytest

from libs.bus import subjects
from libs.bus.auth.callout_protocol import SUBSCRIPTIONS_MAX, key_user
from libs.bus.auth.connections import ClientConnection, ServerConnections
from libs.model.tenancy import KeyCreated
from libs.process.run import running_services, utc_now
from libs.store.core.pool import open_store
from libs.store.tenancy import keys
from services.results.__main__ import service as results
from services.results.nats_callout import callout_handler
from services.results.nats_callout.callout_handler import (
    CONNECTION_AGE_S_MAX,
    CONNECTION_AGE_SPREAD_S,
    CONNECTIONS_MAX,
    excess_connections,
)
from tests.integration.nats.conftest import NatsDeployment, OpenDeployment, Tenant
from tests.support.guarded_nats import Guest, guest, is_let_in


@pytest.fixture
def no_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disables the periodic scan, so that only the revocation message closes connections."""
    monkeypatch.setattr(callout_handler, "REAP_INTERVAL_S", 3600.0)


async def wait_disconnected(client: Guest) -> None:
    async with asyncio.timeout(10):
        await client.disconnected.wait()


@pytest.mark.usefixtures("no_sweep")
async def test_revocation_closes_open_connections_of_that_key_and_no_others(house: OpenDeployment) -> None:
    async with house() as home:
        tenant = await home.tenant()
        key, other = await tenant.key(), await tenant.key()
        url = home.nats.tenant_url(key.key)
        async with guest(url) as one, guest(url) as two, guest(home.nats.tenant_url(other.key)) as stays:
            await stays.subscribe(f"live.results.{tenant.id}.>")
            await tenant.revoke(key)
            await wait_disconnected(one)
            await wait_disconnected(two)
            assert not await is_let_in(url)
            await home.publish_result(tenant.id)
            await stays.next()
            assert not stays.disconnected.is_set()


async def test_a_client_whose_connection_is_closed_reconnects_and_continues(house: OpenDeployment) -> None:
    async with house() as home, ServerConnections.open(home.nats.url("system"), name="test") as connections:
        tenant = await home.tenant()
        key = await tenant.key()
        back = asyncio.Event()

        async def reconnected() -> None:
            back.set()

        again = {"allow_reconnect": True, "reconnect_time_wait": 0.05, "reconnected_cb": reconnected}
        async with guest(home.nats.tenant_url(key.key), **again) as client:
            await client.subscribe(f"live.results.{tenant.id}.>")
            for connection in [each async for each in connections.list_of_user(key_user(key.id))]:
                await connections.kick(connection)
            async with asyncio.timeout(10):
                await back.wait()
            await home.publish_result(tenant.id)
            await client.next()


@pytest.mark.usefixtures("no_sweep")
async def test_a_connection_survives_the_process_that_allowed_it_and_is_closed_by_another(
    house: OpenDeployment,
) -> None:
    async with house() as home:
        tenant = await home.tenant()
        key = await tenant.key()
        async with guest(home.nats.tenant_url(key.key)) as client:
            settings = home.context.settings
            async with running_services((results(),), settings):
                pass  # a room that knows nothing of the past, and is gone again
            async with running_services((results(),), settings):
                await tenant.revoke(key)
                await wait_disconnected(client)


@pytest.mark.usefixtures("no_sweep")
async def test_many_revocations_at_once_and_invalid_messages(house: OpenDeployment) -> None:
    async with house() as home:
        tenant = await home.tenant()
        created = [await tenant.key() for _ in range(20)]
        for nonsense in (b"", b"\xff\xfe", b"x" * 5000, b"key.>", b"*", b'"}', created[0].id.upper().encode()):
            await home.context.bus.publish_core(subjects.KEYS_REVOKED, nonsense)
        async with asyncio.TaskGroup() as group:
            for key in created:
                group.create_task(assert_disconnected_when_revoked(home, tenant, key))


async def assert_disconnected_when_revoked(home: NatsDeployment, tenant: Tenant, key: KeyCreated) -> None:
    async with guest(home.nats.tenant_url(key.key)) as client:
        await tenant.revoke(key)
        await wait_disconnected(client)


async def test_the_scan_closes_connections_whose_revocation_message_was_lost(
    house: OpenDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callout_handler, "REAP_INTERVAL_S", 0.1)
    async with house() as home:
        tenant = await home.tenant()
        key, other = await tenant.key(), await tenant.key()
        async with guest(home.nats.tenant_url(key.key)) as client, guest(home.nats.tenant_url(other.key)) as stays:
            async with open_store(home.context.settings.postgres_dsn) as store, store.transaction() as db:
                await keys.revoke(db, tenant.id, key.id, utc_now())
            await wait_disconnected(client)
            assert not stays.disconnected.is_set()


@pytest.mark.usefixtures("no_sweep")
async def test_the_connections_of_an_expired_key_are_closed(house: OpenDeployment) -> None:
    async with house() as home:
        tenant = await home.tenant()
        key = await tenant.key(expires_at=utc_now() + timedelta(seconds=2.5))
        async with guest(home.nats.tenant_url(key.key)) as client:
            async with asyncio.timeout(10):
                await client.closed.wait()
        assert not await is_let_in(home.nats.tenant_url(key.key))


@asynccontextmanager
async def connected_guests(url: str, count: int) -> AsyncIterator[list[Guest]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(guest(url)) for _ in range(count)]


async def test_connections_are_listed_page_by_page(house: OpenDeployment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("libs.bus.auth.connections.PAGE_SIZE", 3)
    async with house() as home, ServerConnections.open(home.nats.url("system"), name="test") as connections:
        key = await (await home.tenant()).key()
        async with connected_guests(home.nats.tenant_url(key.key), 8):
            listed = [each.user async for each in connections.list_all()]
            own = [each async for each in connections.list_of_user(key_user(key.id))]
    assert listed.count(key_user(key.id)) == 8
    assert {"results", "gateway", "prober_local"} <= set(listed)
    assert len({each.cid for each in own}) == 8


async def test_connections_above_the_limit_of_a_key_are_closed_newest_first(
    house: OpenDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callout_handler, "CONNECTIONS_MAX", 3)
    monkeypatch.setattr(callout_handler, "REAP_INTERVAL_S", 0.1)
    async with house() as home:
        key = await (await home.tenant()).key()
        url = home.nats.tenant_url(key.key)
        async with connected_guests(url, 3) as first, guest(url) as fourth:
            await wait_disconnected(fourth)
            assert not any(each.disconnected.is_set() for each in first)


async def test_a_client_with_too_many_subscriptions_is_closed(
    house: OpenDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callout_handler, "REAP_INTERVAL_S", 0.1)
    async with house() as home:
        tenant = await home.tenant()
        key = await tenant.key()
        async with guest(home.nats.tenant_url(key.key)) as client:
            for number in range(SUBSCRIPTIONS_MAX + 1):
                await client.client.subscribe(f"live.results.{tenant.id}.local.http.m{number}")
            await wait_disconnected(client)


async def test_without_a_system_user_a_connection_ends_when_its_token_expires(
    house: OpenDeployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callout_handler, "TOKEN_LIFETIME_WITHOUT_REAPER", timedelta(seconds=2))
    async with house(nats_system_url="") as home:
        key = await (await home.tenant()).key()
        async with guest(home.nats.tenant_url(key.key)) as client, asyncio.timeout(10):
            await client.closed.wait()


def connection(cid: int, *, age_s: float = 1.0, subscriptions: int = 1) -> ClientConnection:
    return ClientConnection("S", cid, "key.x", age_s, subscriptions)


def test_which_connections_are_closed_and_which_have_to_reconnect() -> None:
    good = connection(1), connection(2, age_s=CONNECTION_AGE_S_MAX), connection(3, subscriptions=SUBSCRIPTIONS_MAX)
    assert excess_connections(list(good)) == []
    old, full = (
        connection(4, age_s=CONNECTION_AGE_S_MAX + CONNECTION_AGE_SPREAD_S),
        connection(5, subscriptions=SUBSCRIPTIONS_MAX + 1),
    )
    assert excess_connections([*good, old, full]) == [old, full]
    many = [connection(number, age_s=float(number)) for number in range(CONNECTIONS_MAX + 2)]
    assert {each.cid for each in excess_connections(many)} == {0, 1}
