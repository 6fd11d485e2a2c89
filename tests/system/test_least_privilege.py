"""The services of docker-compose.yml as processes of their own, each with the credential that compose gives it."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from libs.process.embedded.nats import find_nats_server
from tests.support.client import Api
from tests.support.cluster import bootstrap
from tests.support.deployed import Deployed, deployed
from tests.support.guarded_nats import Guest, guest, is_let_in
from tests.support.processes import Process
from tests.support.target import Target

V2 = "/api/v2"


@pytest.fixture
def house(postgres_dsn: str) -> Iterator[Deployed]:
    with deployed(postgres_dsn) as house:
        house.start("results", "gateway", "http", "ping")
        yield house


@asynccontextmanager
async def target() -> AsyncIterator[Target]:
    made = Target()
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


def test_the_configuration_of_compose_is_one_that_the_server_takes(tmp_path: Path) -> None:
    made = Deployed(tmp_path, "")
    done = subprocess.run([find_nats_server(), "-t", "-c", str(made.conf)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.timeout(180)
async def test_everything_works_with_no_more_rights_than_that(house: Deployed) -> None:
    gateway = house.environment("gateway")
    admin = await asyncio.to_thread(bootstrap, gateway, house.directory)
    async with target() as site, Api(house.services["gateway"].port, admin) as api:
        await watches_and_checks(api, site)
        await streams_and_resumes(api, site)
        await lets_a_tenant_in_and_out(house, api, site)
    reseal = Process("reseal", [sys.executable, "-m", "services", "reseal"], log=house.directory / "r.log", env=gateway)
    reseal.start()
    assert await asyncio.to_thread(reseal.wait) == 0, reseal.tail()
    assert house.violations() == []


async def watches_and_checks(api: Api, site: Target) -> None:
    """Check now, of a spec and of a monitor; ticks; change and deletion."""
    spec = {"kind": "http", "url": site.url("/now")}
    assert (await api.post(f"{V2}/checks", {"spec": spec}))["status"] == "up"
    monitor = await api.post(f"{V2}/monitors", {"name": "gone", "interval_s": 10, "spec": spec})
    assert (await api.post(f"{V2}/checks", {"monitor_id": monitor["id"]}))["status"] == "up"
    await api.patch(f"{V2}/monitors/{monitor['id']}", {"name": "changed"})
    await api.delete(f"{V2}/monitors/{monitor['id']}")


async def streams_and_resumes(api: Api, site: Target) -> None:
    """A monitor that fails makes results, rechecks and an event; a client that comes back misses nothing."""
    site.fail()
    body = {"name": "down", "interval_s": 10, "spec": {"kind": "http", "url": site.url("/down")}}
    async with api.events(f"{V2}/results/stream") as events, asyncio.timeout(60):
        await api.post(f"{V2}/monitors", body)
        first = await anext(events)
        async for event in events:
            if event.event != "result":
                break
    async with api.events(f"{V2}/results/stream", last_event_id=first.id) as events, asyncio.timeout(30):
        assert (await anext(events)).id > first.id


async def lets_a_tenant_in_and_out(house: Deployed, api: Api, site: Target) -> None:
    me: dict[str, Any] = await api.get(f"{V2}/me")
    key = await api.post(f"{V2}/keys", {"name": "nats", "scopes": ["read"]})
    url = f"nats://key:{key['key']}@127.0.0.1:{house.port}"
    async with guest(url) as tenant:
        await tenant.subscribe(f"live.results.{me['tenant_id']}.>")
        await api.post(f"{V2}/monitors", {"name": "n", "interval_s": 10, "spec": {"kind": "http", "url": site.url()}})
        assert (await tenant.next()).subject.startswith(f"live.results.{me['tenant_id']}.local.http.")
        await api.delete(f"{V2}/keys/{key['id']}")
        await is_out(tenant)
    assert not await is_let_in(url)


async def is_out(tenant: Guest) -> None:
    async with asyncio.timeout(10):
        await tenant.disconnected.wait()
