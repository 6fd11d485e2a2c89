"""A key that is no good any more is out at once, whoever let it in."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta

import pytest

from libs.bus import subjects
from libs.bus.access import SUBSCRIPTIONS_MAX, user
from libs.bus.connections import Connection, Connections
from libs.model.tenancy import KeyCreated
from libs.process.run import running, utc_now
from libs.store import keys
from libs.store.pool import open_store
from services.results.__main__ import service as results
from services.results.answering import nats_access
from services.results.answering.nats_access import CONNECTIONS_MAX, RENEW_S, RENEW_SPREAD_S, surplus
from tests.integration.nats.conftest import House, Open, Tenant
from tests.support.guarded_nats import Guest, guest, is_let_in


@pytest.fixture
def no_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the announcement alone to end connections."""
    monkeypatch.setattr(nats_access, "SWEEP_EVERY_S", 3600.0)


async def is_cut(client: Guest) -> None:
    async with asyncio.timeout(10):
        await client.disconnected.wait()


@pytest.mark.usefixtures("no_sweep")
async def test_revocation_closes_open_connections_of_that_key_and_no_others(house: Open) -> None:
    async with house() as home:
        tenant = await home.tenant()
        key, other = await tenant.key(), await tenant.key()
        url = home.nats.tenant_url(key.key)
        async with guest(url) as one, guest(url) as two, guest(home.nats.tenant_url(other.key)) as stays:
            await stays.subscribe(f"live.results.{tenant.id}.>")
            await tenant.revoke(key)
            await is_cut(one)
            await is_cut(two)
            assert not await is_let_in(url)
            await home.publish_result(tenant.id)
            await stays.next()
            assert not stays.disconnected.is_set()


async def test_a_client_that_is_asked_to_come_again_does_so_and_goes_on(house: Open) -> None:
    async with house() as home, Connections.open(home.nats.url("system"), name="test") as connections:
        tenant = await home.tenant()
        key = await tenant.key()
        back = asyncio.Event()

        async def reconnected() -> None:
            back.set()

        again = {"allow_reconnect": True, "reconnect_time_wait": 0.05, "reconnected_cb": reconnected}
        async with guest(home.nats.tenant_url(key.key), **again) as client:
            await client.subscribe(f"live.results.{tenant.id}.>")
            for connection in [each async for each in connections.of(user(key.id))]:
                await connections.kick(connection)
            async with asyncio.timeout(10):
                await back.wait()
            await home.publish_result(tenant.id)
            await client.next()


@pytest.mark.usefixtures("no_sweep")
async def test_a_connection_outlives_the_room_that_let_it_in_and_is_closed_by_another(house: Open) -> None:
    async with house() as home:
        tenant = await home.tenant()
        key = await tenant.key()
        async with guest(home.nats.tenant_url(key.key)) as client:
            settings = home.context.settings
            async with running((results(),), settings):
                pass  # a room that knows nothing of the past, and is gone again
            async with running((results(),), settings):
                await tenant.revoke(key)
                await is_cut(client)


@pytest.mark.usefixtures("no_sweep")
async def test_many_keys_at_once_and_announcements_of_nonsense(house: Open) -> None:
    async with house() as home:
        tenant = await home.tenant()
        created = [await tenant.key() for _ in range(20)]
        for nonsense in (b"", b"\xff\xfe", b"x" * 5000, b"key.>", b"*", b'"}', created[0].id.upper().encode()):
            await home.context.bus.announce(subjects.KEYS_REVOKED, nonsense)
        async with asyncio.TaskGroup() as group:
            for key in created:
                group.create_task(cut_when_revoked(home, tenant, key))


async def cut_when_revoked(home: House, tenant: Tenant, key: KeyCreated) -> None:
    async with guest(home.nats.tenant_url(key.key)) as client:
        await tenant.revoke(key)
        await is_cut(client)


async def test_the_sweep_ends_a_key_whose_revocation_was_never_announced(
    house: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_access, "SWEEP_EVERY_S", 0.1)
    async with house() as home:
        tenant = await home.tenant()
        key, other = await tenant.key(), await tenant.key()
        async with guest(home.nats.tenant_url(key.key)) as client, guest(home.nats.tenant_url(other.key)) as stays:
            async with open_store(home.context.settings.postgres_dsn) as store, store.transaction() as db:
                await keys.revoke(db, tenant.id, key.id, utc_now())
            await is_cut(client)
            assert not stays.disconnected.is_set()


@pytest.mark.usefixtures("no_sweep")
async def test_a_key_that_expires_ends_its_connections(house: Open) -> None:
    async with house() as home:
        tenant = await home.tenant()
        key = await tenant.key(expires_at=utc_now() + timedelta(seconds=2.5))
        async with guest(home.nats.tenant_url(key.key)) as client:
            async with asyncio.timeout(10):
                await client.closed.wait()
        assert not await is_let_in(home.nats.tenant_url(key.key))


@asynccontextmanager
async def guests(url: str, count: int) -> AsyncIterator[list[Guest]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(guest(url)) for _ in range(count)]


async def test_connections_are_listed_page_by_page(house: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("libs.bus.connections.PAGE", 3)
    async with house() as home, Connections.open(home.nats.url("system"), name="test") as connections:
        key = await (await home.tenant()).key()
        async with guests(home.nats.tenant_url(key.key), 8):
            listed = [each.user async for each in connections.all()]
            own = [each async for each in connections.of(user(key.id))]
    assert listed.count(user(key.id)) == 8
    assert {"results", "gateway", "prober_local"} <= set(listed)
    assert len({each.cid for each in own}) == 8


async def test_connections_beyond_the_bound_of_a_key_are_ended_the_newest_first(
    house: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_access, "CONNECTIONS_MAX", 3)
    monkeypatch.setattr(nats_access, "SWEEP_EVERY_S", 0.1)
    async with house() as home:
        key = await (await home.tenant()).key()
        url = home.nats.tenant_url(key.key)
        async with guests(url, 3) as first, guest(url) as fourth:
            await is_cut(fourth)
            assert not any(each.disconnected.is_set() for each in first)


async def test_a_client_with_too_many_subscriptions_is_cut(house: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats_access, "SWEEP_EVERY_S", 0.1)
    async with house() as home:
        tenant = await home.tenant()
        key = await tenant.key()
        async with guest(home.nats.tenant_url(key.key)) as client:
            for number in range(SUBSCRIPTIONS_MAX + 1):
                await client.client.subscribe(f"live.results.{tenant.id}.local.http.m{number}")
            await is_cut(client)


async def test_without_a_user_in_the_system_account_a_connection_ends_by_itself(
    house: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_access, "STAY_ALONE_MAX", timedelta(seconds=2))
    async with house(nats_system_url="") as home:
        key = await (await home.tenant()).key()
        async with guest(home.nats.tenant_url(key.key)) as client, asyncio.timeout(10):
            await client.closed.wait()


def connection(cid: int, *, age_s: float = 1.0, subscriptions: int = 1) -> Connection:
    return Connection("S", cid, "key.x", age_s, subscriptions)


def test_who_must_go_and_who_must_come_again() -> None:
    good = connection(1), connection(2, age_s=RENEW_S), connection(3, subscriptions=SUBSCRIPTIONS_MAX)
    assert surplus(list(good)) == []
    old, full = connection(4, age_s=RENEW_S + RENEW_SPREAD_S), connection(5, subscriptions=SUBSCRIPTIONS_MAX + 1)
    assert surplus([*good, old, full]) == [old, full]
    many = [connection(number, age_s=float(number)) for number in range(CONNECTIONS_MAX + 2)]
    assert {each.cid for each in surplus(many)} == {0, 1}
