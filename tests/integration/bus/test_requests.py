"""Requests between rooms: typed, refused in words, never left without an answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from faststream.nats import NatsRouter

from libs.bus import rpc
from libs.bus.bus import Bus
from libs.model.refusal import RefusalCode, RefusedError
from libs.model.requests import DeleteMonitor, ListKeys
from libs.model.tenancy import Key

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ASK = DeleteMonitor(tenant_id="t1", monitor_id="m1")


@asynccontextmanager
async def serving(bus: Bus, handler: Any, **options: Any) -> AsyncIterator[None]:
    router = NatsRouter()
    rpc.serve(router, DeleteMonitor, handler, **options)
    bus.broker.include_router(router)
    await bus.start()
    yield


async def refusal_of(bus: Bus, **options: Any) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        await bus.ask(ASK, **options)
    return caught.value


async def test_a_request_arrives_typed_and_its_reply_too(bus: Bus, other_bus: Bus) -> None:
    seen: list[DeleteMonitor] = []

    async def delete(request: DeleteMonitor) -> None:
        seen.append(request)

    async with serving(other_bus, delete):
        assert await bus.ask(ASK) is None
    assert seen == [ASK]


async def test_a_refusal_crosses_the_bus_whole(bus: Bus, other_bus: Bus) -> None:
    async def delete(_: DeleteMonitor) -> None:
        raise RefusedError(RefusalCode.NOT_FOUND, "There is no such monitor.", "monitor_id")

    async with serving(other_bus, delete):
        error = await refusal_of(bus)
    assert (error.refusal.code, error.refusal.field) == (RefusalCode.NOT_FOUND, "monitor_id")
    assert error.refusal.detail == "There is no such monitor."


async def test_a_crash_is_answered_and_tells_nothing(bus: Bus, other_bus: Bus) -> None:
    async def delete(_: DeleteMonitor) -> None:
        raise KeyError("secret")

    async with serving(other_bus, delete):
        error = await refusal_of(bus)
    assert error.refusal.code is RefusalCode.UNAVAILABLE
    assert "secret" not in error.refusal.detail


async def test_nobody_there_is_unavailable_at_once(bus: Bus) -> None:
    async with asyncio.timeout(5):
        error = await refusal_of(bus, timeout_s=60)
    assert error.refusal.code is RefusalCode.UNAVAILABLE


async def test_a_handler_that_hangs_is_unavailable_and_does_not_block_the_others(bus: Bus, other_bus: Bus) -> None:
    hang = asyncio.Event()

    async def delete(request: DeleteMonitor) -> None:
        if request.monitor_id == "slow":
            await hang.wait()

    async with serving(other_bus, delete, workers=2, timeout_s=0.5), asyncio.TaskGroup() as group:
        slow = group.create_task(_refused(bus, DeleteMonitor(tenant_id="t1", monitor_id="slow")))
        for _ in range(20):
            await bus.ask(ASK)
        assert not slow.done() or slow.result()
    assert slow.result() is RefusalCode.UNAVAILABLE


async def test_a_request_that_cannot_be_read_is_refused_as_invalid(bus: Bus, other_bus: Bus) -> None:
    async def delete(_: DeleteMonitor) -> None:
        raise AssertionError

    async with serving(other_bus, delete):
        answer = await bus.client.request("rpc.monitors.delete", b'{"tenant_id": 1}', timeout=5)
    assert b'"code":"invalid"' in answer.data


async def test_an_answer_too_large_for_the_bus_is_a_refusal(bus: Bus, other_bus: Bus) -> None:
    async def keys(_: ListKeys) -> list[Key]:
        return [Key(id="k", name="x" * 1000, scopes=[], cidrs=[], created_at=NOW)] * 2000

    router = NatsRouter()
    rpc.serve(router, ListKeys, keys)
    other_bus.broker.include_router(router)
    await other_bus.start()
    with pytest.raises(RefusedError, match="too large"):
        await bus.ask(ListKeys(tenant_id="t1"))


async def _refused(bus: Bus, request: DeleteMonitor) -> RefusalCode | None:
    try:
        await bus.ask(request)
    except RefusedError as error:
        return error.refusal.code
    return None


@pytest.mark.parametrize("steps", range(4))
async def test_a_flush_that_is_cancelled_at_any_step_deafens_nobody(bus: Bus, other_bus: Bus, steps: int) -> None:
    async def delete(_: DeleteMonitor) -> None:
        return None

    async with serving(other_bus, delete), asyncio.TaskGroup() as group:
        flush = group.create_task(bus.client.flush())
        for _ in range(steps):
            await asyncio.sleep(0)
        flush.cancel()
        await bus.client.flush()  # its PONG comes behind that of the other
        assert await bus.ask(ASK) is None
