"""Event streams over HTTP: complete, limited to the tenant, and released at the end."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from libs.bus import subjects
from libs.bus.client.message import Message
from libs.model.check import Origin, Result
from libs.model.ids import new_id, tick_id
from libs.model.outcome import Status
from libs.model.state import Event, EventType, StateStatus, Transition
from libs.process.run import running_services
from services.gateway.__main__ import service as gateway
from tests.integration.gateway.conftest import RunningGateway, StartGateway
from tests.integration.gateway.native.test_keys import create_key
from tests.integration.gateway.native.test_native_api import V2, check_problem
from tests.support.client import Api, SseEvent
from tests.support.ports import free_port
from tests.support.wait import eventually

STREAM = f"{V2}/results/stream"
NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


def result(tenant_id: str, monitor_id: str, number: int, kind: str = "http") -> Message:
    tick_at = NOON + timedelta(minutes=number)
    found = Result(
        monitor_id=monitor_id,
        tenant_id=tenant_id,
        location="local",
        kind=kind,
        revision=1,
        interval_s=60,
        origin=Origin.TICK,
        tick_at=tick_at,
        started_at=tick_at,
        duration_s=float(number),
        status=Status.UP,
        reason="ok",
    )
    subject = subjects.result(tenant_id, "local", kind, monitor_id)
    return Message(subject, msgspec.json.encode(found), tick_id(monitor_id, "local", tick_at))


def transition(tenant_id: str, monitor_id: str) -> Message:
    change = Transition(
        id=new_id(), monitor_id=monitor_id, at=NOON, old=StateStatus.UP, new=StateStatus.DOWN, reason="refused"
    )
    event = Event(
        id=change.id,
        type=EventType.TRANSITION,
        tenant_id=tenant_id,
        monitor_id=monitor_id,
        monitor_name="m",
        kind="http",
        target="t",
        transition=change,
    )
    return Message(subjects.event(tenant_id, "http", monitor_id), msgspec.json.encode(event), event.id)


async def next_event(events: AsyncIterator[SseEvent]) -> SseEvent:
    async with asyncio.timeout(10):
        return await anext(events)


async def tenant_of(api: Api) -> str:
    tenant_id: str = (await api.get(f"{V2}/me"))["tenant_id"]
    return tenant_id


def subscription_count(instance: RunningGateway) -> int:
    return len(instance.context.bus.client._subs)


@contextlib.asynccontextmanager
async def raw_stream(instance: RunningGateway, path: str = STREAM) -> AsyncIterator[asyncio.StreamReader]:
    """An open stream on a bare connection, its head already read."""
    reader, writer = await asyncio.open_connection("127.0.0.1", instance.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {instance.key}\r\n\r\n".encode())
    try:
        async with asyncio.timeout(10):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        yield reader
    finally:
        writer.close()


async def test_results_and_transitions_of_the_own_tenant_arrive_as_they_happen(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api() as api, api.events(STREAM) as events:
        tenant_id, monitor_id, bus = await tenant_of(api), new_id(), instance.context.bus
        await bus.publish(result(new_id(), monitor_id, 1))
        await bus.publish(transition(new_id(), monitor_id))
        await bus.publish(result(tenant_id, monitor_id, 2))
        first = await next_event(events)
        assert first.event == "result"
        assert first.data["duration_s"] == 2.0
        await bus.publish(transition(tenant_id, monitor_id))
        second = await next_event(events)
        assert second.event == "transition"
        assert second.data["transition"]["new"] == "down"
        assert first.id
        assert first.id != second.id


async def test_a_stream_is_filtered_by_monitor_and_kind(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api() as api:
        tenant_id, wanted, bus = await tenant_of(api), new_id(), instance.context.bus
        async with api.events(f"{STREAM}?monitor={wanted}&kind=http") as events:
            await bus.publish(result(tenant_id, new_id(), 1))
            await bus.publish(result(tenant_id, wanted, 2, kind="ping"))
            await bus.publish(result(tenant_id, wanted, 3))
            assert (await next_event(events)).data["duration_s"] == 3.0
        assert check_problem(await api.ask("GET", f"{STREAM}?monitor=*"), 422)["errors"][0]["field"] == "monitor"
        assert check_problem(await api.ask("GET", f"{STREAM}?kind=>"), 422)["errors"][0]["field"] == "kind"


async def test_a_client_that_resumes_gets_every_item_exactly_once(
    start_gateway: StartGateway,
) -> None:
    async with start_gateway() as instance, instance.api() as api:
        tenant_id, monitor_id, bus = await tenant_of(api), new_id(), instance.context.bus
        async with api.events(STREAM) as events:
            for number in range(3):
                await bus.publish(result(tenant_id, monitor_id, number))
            seen = [await next_event(events) for _ in range(2)]
        for number in range(3, 6):
            await bus.publish(result(tenant_id, monitor_id, number))
        async with api.events(STREAM, last_event_id=seen[-1].id) as events:
            await bus.publish(result(tenant_id, monitor_id, 6))
            seen += [await next_event(events) for _ in range(5)]
        assert [event.data["duration_s"] for event in seen] == [float(number) for number in range(7)]
        bad = await api.ask("GET", STREAM, last_event_id="yesterday")
        assert check_problem(bad, 422)["errors"][0]["field"] == "Last-Event-ID"


async def test_a_client_that_leaves_takes_its_subscriptions_along(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance:
        before = subscription_count(instance)
        async with raw_stream(instance) as first, raw_stream(instance) as second:
            assert b"keep-alive" in await first.readuntil(b"\n\n")
            assert b"keep-alive" in await second.readuntil(b"\n\n")
            assert subscription_count(instance) > before

        async def released() -> bool:
            return subscription_count(instance) == before

        assert await eventually(released, within_s=5, what="the subscriptions were released")


async def test_a_revoked_key_ends_its_streams_on_every_gateway(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api() as admin:
        settings = msgspec.structs.replace(instance.context.settings, port=free_port())
        async with running_services((gateway(),), settings):
            created = await create_key(admin, "read")
            here, there = Api(instance.port, created["key"]), Api(settings.port, created["key"])
            async with here.events(STREAM) as own, there.events(STREAM) as other, admin.events(STREAM) as lasting:
                assert (await admin.ask("DELETE", f"{V2}/keys/{created['id']}")).status == 204
                assert await has_ended(own)
                assert await has_ended(other)
                await instance.context.bus.publish(result(await tenant_of(admin), new_id(), 1))
                assert (await next_event(lasting)).event == "result"


async def test_an_expired_key_ends_its_stream(start_gateway: StartGateway, monkeypatch: Any) -> None:
    monkeypatch.setattr(
        "services.gateway.access.authenticator.RECHECK_INTERVAL_S", 1000
    )  # it ends by the clock, not by a look now and then
    async with start_gateway() as instance, instance.api() as admin:
        soon = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
        created = await create_key(admin, "read", expires_at=soon)
        async with Api(instance.port, created["key"]).events(STREAM) as events:
            assert await has_ended(events)


async def test_stopping_the_gateway_ends_its_streams_in_good_order(start_gateway: StartGateway) -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with start_gateway() as instance:
            events = await stack.enter_async_context(instance.api().events(STREAM))
        assert await has_ended(events)


async def test_a_stream_without_its_stored_stream_is_refused_and_not_opened_half(start_gateway: StartGateway) -> None:
    async with start_gateway() as instance, instance.api() as api:
        await instance.context.bus.jetstream.delete_stream(subjects.EVENTS)
        before = subscription_count(instance)
        check_problem(await api.ask("GET", STREAM), 503)
        assert subscription_count(instance) == before


async def has_ended(events: AsyncIterator[SseEvent]) -> bool:
    async with asyncio.timeout(10):
        return [event async for event in events] == []
