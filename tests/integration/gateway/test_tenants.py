"""Tenant isolation on every route: resources of another tenant look like unknown ones."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from libs.bus import subjects
from libs.bus.client.message import Message
from libs.model.check import Origin, Result
from libs.model.ids import new_id, tick_id
from libs.model.outcome import Status
from services.gateway.web.event_stream import STREAMS_MAX
from tests.integration.gateway.conftest import RunningGateway, StartGateway
from tests.integration.gateway.native.test_keys import create_key
from tests.integration.gateway.native.test_native_api import V2, check_problem
from tests.integration.gateway.native.test_stream import next_event
from tests.support.client import Answer, Api, SseEvent
from tests.support.tenants import add_tenant
from tests.support.wait import eventually
from tests.support.walk import Asked, Route, Things, normalised, requests, routes

MARKER = "zebra-of-a"
STREAM = f"{V2}/results/stream"
OPERATORS = f"{V2}/tenants"
DAY_S = 86400  # a has no shorter interval: nothing of it changes by time alone
MONITOR = {
    "name": MARKER,
    "interval_s": DAY_S,
    "labels": {"customer": MARKER},
    "spec": {"kind": "http", "url": f"http://{MARKER}.example/"},
}


@dataclass(frozen=True)
class TwoTenants:
    """Two tenants: `a`, who has one of everything, and `b`, with the secrets of its keys by scope."""

    instance: RunningGateway
    a: Api
    ids: Things
    b: dict[str, str]

    async def send_as_b(self, asked: Asked, scope: str) -> Answer:
        """Returns what b is answered."""
        async with self.instance.api(self.b[scope]) as api:
            return await send(api, asked)

    async def snapshot(self) -> dict[str, str]:
        """Returns all that a sees of its own things."""
        answers = {step.path: await send(self.a, step) for step, _ in request_pairs(self.ids) if step.method == "GET"}
        hidden = {path for path, answer in answers.items() if answer.status != 200 and not path.startswith(OPERATORS)}
        assert hidden == {"/probe"}
        return {path: re.sub(r"'last_used_at': [^,}]+", "", str(answer.body)) for path, answer in answers.items()}

    def check_no_leak(self, seen: object) -> None:
        """Checks that nothing of a is in what b received."""
        for thing in (MARKER, self.ids["tenant"], self.ids["monitor"], self.ids["key"]):
            assert str(thing) not in str(seen)


def request_pairs(has: Things) -> list[tuple[Asked, Asked]]:
    """Returns all requests but those for streams, each with its twin about what nobody has; those that create, last."""
    nobodys = unknown_ids(has)
    found = [pair for route in routes() if not route.streams for pair in paired_requests(route, has, nobodys)]
    order = ("GET", "DELETE", "PATCH", "PUT", "POST")
    return sorted(found, key=lambda pair: (order.index(pair[0].method), not pair[0].aimed))


def paired_requests(route: Route, has: Things, nobodys: Things) -> list[tuple[Asked, Asked]]:
    return list(zip(requests(route, has), requests(route, nobodys), strict=True))


async def publish(instance: RunningGateway, tenant_id: str, monitor_id: str, status: Status = Status.UP) -> None:
    """Stores a result as a prober would, with the marker in it."""
    found = result(tenant_id, monitor_id, status)
    subject = subjects.result(tenant_id, "local", "http", monitor_id)
    message = Message(subject, msgspec.json.encode(found), tick_id(monitor_id, "local", found.tick_at))
    await instance.context.bus.publish(message)


def result(tenant_id: str, monitor_id: str, status: Status) -> Result:
    now = datetime.now(UTC)
    return Result(
        monitor_id=monitor_id,
        tenant_id=tenant_id,
        location="local",
        kind="http",
        revision=1,
        interval_s=86400,
        origin=Origin.TICK,
        tick_at=now,
        started_at=now,
        duration_s=0.1,
        status=status,
        reason="ok" if status is Status.UP else "refused",
        detail=MARKER,
    )


async def send(api: Api, asked: Asked) -> Answer:
    headers = {name.lower().replace("-", "_"): value for name, value in asked.headers.items()}
    return await api.ask(asked.method, asked.path, asked.body, **headers)


async def create_objects(api: Api) -> dict[str, str | None]:
    """Makes one of everything for a tenant, and returns it by its sort."""
    monitor = (await api.ask("POST", f"{V2}/monitors", MONITOR, idempotency_key="order-of-a")).body
    await api.post(f"{V2}/monitors", MONITOR)
    body = {"name": MARKER, "scopes": ["read"], "cidrs": ["203.0.113.77"]}
    key = (await api.ask("POST", f"{V2}/keys", body, idempotency_key="key-order-of-a")).body
    target = {"target_type": "domain", "target_value": f"{MARKER}.example"}
    device, listed = [await api.post(f"/api/v1/{what}/create", target) for what in ("devices", "blacklist-monitors")]
    return {
        "monitor": monitor["id"],
        "key": key["id"],
        "device": str(device["data"]["id"]),
        "blacklist_monitor": str(listed["data"]["id"]),
        "tenant": (await api.get(f"{V2}/me"))["tenant_id"],
        "cursor": (await api.get(f"{V2}/monitors", limit=1))["next_cursor"],
        "audit_cursor": (await api.get(f"{V2}/audit", limit=1))["next_cursor"],
        "marker": MARKER,
        "order": "order-of-a",
        "key_order": "key-order-of-a",
        "from": (datetime.now(UTC) - timedelta(hours=1)).isoformat(),
    }


def unknown_ids(has: Things) -> Things:
    """Returns things like these that nobody has. Whose cursor there is none, begins at the beginning."""
    none = {sort: None for sort in has if sort == "event" or sort.endswith("cursor")}
    ids = {sort: new_id() for sort in ("monitor", "key", "tenant")}
    numbers = dict.fromkeys(("device", "blacklist_monitor"), "987654321")
    words = {sort: f"{sort}-of-nobody" for sort in ("marker", "order", "key_order")}
    return {**has, **none, **ids, **numbers, **words}


@asynccontextmanager
async def two_tenants(start_gateway: StartGateway, **more: Any) -> AsyncIterator[TwoTenants]:
    """Starts a gateway (with `more` settings) with both tenants, and at least one item in each of a's lists."""
    async with start_gateway(**more) as instance:
        dsn = instance.context.settings.postgres_dsn
        own, other = await add_tenant(dsn, MARKER, DAY_S), await add_tenant(dsn, "b")
        async with instance.api(own) as a, instance.api(other) as admin:
            has = await create_objects(a)
            async with a.events(STREAM) as events:
                for status in (Status.UP, Status.DOWN, Status.DOWN):
                    await publish(instance, str(has["tenant"]), str(has["monitor"]), status)
                has["event"] = (await next_event(events)).id
            path = f"{V2}/monitors/{has['monitor']}"
            for sort, count in (("results", 3), ("transitions", 2)):
                has[f"{sort}_cursor"] = await wait_for_cursor(a, f"{path}/{sort}", count)
            has["to"] = datetime.now(UTC).isoformat()
            scopes = {scope: (await create_key(admin, scope))["key"] for scope in ("read", "write")}
            yield TwoTenants(instance, a, has, scopes | {"admin": other})


async def wait_for_cursor(api: Api, path: str, count: int) -> str:
    """Returns the cursor of the first of `count` things at `path`, as soon as they are all there."""

    async def all_there() -> bool:
        return len((await api.get(path))["items"]) == count

    assert await eventually(all_there, within_s=20, what=f"{path} has {count} items")
    return str((await api.get(path, limit=1))["next_cursor"])


async def test_every_route_hides_what_another_tenant_has(start_gateway: StartGateway) -> None:
    async with two_tenants(start_gateway) as two:
        before = await two.snapshot()
        for mine, nobodys in request_pairs(two.ids):
            for scope in two.b:
                answer, control = await two.send_as_b(mine, scope), await two.send_as_b(nobodys, scope)
                two.check_no_leak(answer)
                assert not mine.aimed or normalised(answer) == normalised(control), (scope, mine, nobodys)
        assert await two.snapshot() == before


async def test_every_request_with_own_ids_finds_its_resource(start_gateway: StartGateway) -> None:
    """What b is refused, a may do: else the walk would prove nothing."""
    async with two_tenants(start_gateway) as two:
        assert MARKER in str(await two.snapshot())
        commands = [mine for mine, _ in request_pairs(two.ids) if mine.method != "GET"]
        for mine in reversed(commands):
            answer = await send(two.a, mine)
            if mine.path.startswith(OPERATORS):
                assert answer.status == 403, (mine, answer)
                continue
            # 409: an Idempotency-Key that stands for another body; 504: no prober is here.
            assert not mine.aimed or answer.status in {200, 201, 204, 409, 504}, (mine, answer)


async def test_every_stream_contains_the_own_tenant_only(start_gateway: StartGateway) -> None:
    async with two_tenants(start_gateway) as two, two.instance.api(two.b["admin"]) as admin:
        tenant_id, streams = (await admin.get(f"{V2}/me"))["tenant_id"], [each for each in routes() if each.streams]
        assert streams
        for asked in (asked for route in streams for asked in requests(route, two.ids)):
            reader = await create_key(admin, "read")
            api, sentinel = two.instance.api(reader["key"]), new_id()
            headers = {name.lower().replace("-", "_"): value for name, value in asked.headers.items()}
            async with api.events(asked.path, **headers) as events, api.events(STREAM) as everything:
                await publish(two.instance, str(two.ids["tenant"]), str(two.ids["monitor"]))
                await publish(two.instance, tenant_id, sentinel)
                assert (await next_event(everything)).data["monitor_id"] == sentinel
                assert (await admin.ask("DELETE", f"{V2}/keys/{reader['id']}")).status == 204
                for event in await remaining_events(events):
                    assert event.data["tenant_id"] == tenant_id, asked


async def remaining_events(events: AsyncIterator[SseEvent]) -> list[SseEvent]:
    async with asyncio.timeout(10):
        return [event async for event in events]


async def test_a_tenant_cannot_open_all_streams(start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.gateway.web.event_stream.STREAM_TENANTS_MIN", STREAMS_MAX)
    async with start_gateway() as instance, instance.api() as api:
        other = instance.api(await add_tenant(instance.context.settings.postgres_dsn, "b"))
        async with api.events(STREAM):
            detail = check_problem(await api.ask("GET", STREAM), 429)["detail"]
            assert detail == "Limit reached: 1 streams are open here for this tenant."
            async with other.events(STREAM):
                pass
