"""Requests between services: typed, with typed errors, always with a reply."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from faststream.nats import NatsRouter

from libs.bus import rpc
from libs.bus.connection import Bus
from libs.model.requests.errors import ErrorCode, RequestError
from libs.model.requests.messages import DeleteMonitor, ListKeys
from libs.model.tenancy import Key

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DELETE_REQUEST = DeleteMonitor(tenant_id="t1", monitor_id="m1")


@asynccontextmanager
async def serving_deletes(bus: Bus, handler: Any, **options: Any) -> AsyncIterator[None]:
    router = NatsRouter()
    rpc.serve_rpc(router, DeleteMonitor, handler, **options)
    bus.broker.include_router(router)
    await bus.start()
    yield


async def request_error(bus: Bus, **options: Any) -> RequestError:
    with pytest.raises(RequestError) as caught:
        await bus.request(DELETE_REQUEST, **options)
    return caught.value


async def test_requests_and_replies_are_decoded_into_their_types(bus: Bus, other_bus: Bus) -> None:
    seen: list[DeleteMonitor] = []

    async def delete(request: DeleteMonitor) -> None:
        seen.append(request)

    async with serving_deletes(other_bus, delete):
        assert await bus.request(DELETE_REQUEST) is None
    assert seen == [DELETE_REQUEST]


async def test_a_request_error_arrives_unchanged(bus: Bus, other_bus: Bus) -> None:
    async def delete(_: DeleteMonitor) -> None:
        raise RequestError(ErrorCode.NOT_FOUND, "There is no such monitor.", "monitor_id")

    async with serving_deletes(other_bus, delete):
        error = await request_error(bus)
    assert (error.info.code, error.info.field) == (ErrorCode.NOT_FOUND, "monitor_id")
    assert error.info.detail == "There is no such monitor."


async def test_an_exception_becomes_a_reply_without_details(bus: Bus, other_bus: Bus) -> None:
    async def delete(_: DeleteMonitor) -> None:
        raise KeyError("secret")

    async with serving_deletes(other_bus, delete):
        error = await request_error(bus)
    assert error.info.code is ErrorCode.UNAVAILABLE
    assert "secret" not in error.info.detail


async def test_without_a_server_a_request_is_unavailable_at_once(bus: Bus) -> None:
    async with asyncio.timeout(5):
        error = await request_error(bus, timeout_s=60)
    assert error.info.code is ErrorCode.UNAVAILABLE


async def test_a_handler_that_hangs_is_unavailable_and_does_not_block_the_others(bus: Bus, other_bus: Bus) -> None:
    hang = asyncio.Event()

    async def delete(request: DeleteMonitor) -> None:
        if request.monitor_id == "slow":
            await hang.wait()

    async with serving_deletes(other_bus, delete, workers=2, timeout_s=0.5), asyncio.TaskGroup() as group:
        slow = group.create_task(_refusal_code(bus, DeleteMonitor(tenant_id="t1", monitor_id="slow")))
        for _ in range(20):
            await bus.request(DELETE_REQUEST)
        assert not slow.done() or slow.result()
    assert slow.result() is ErrorCode.UNAVAILABLE


async def test_a_request_that_cannot_be_decoded_is_invalid(bus: Bus, other_bus: Bus) -> None:
    async def delete(_: DeleteMonitor) -> None:
        raise AssertionError

    async with serving_deletes(other_bus, delete):
        answer = await bus.client.request("rpc.monitors.delete", b'{"tenant_id": 1}', timeout=5)
    assert b'"code":"invalid"' in answer.data


async def test_a_reply_above_the_maximum_payload_is_an_error(bus: Bus, other_bus: Bus) -> None:
    async def keys(_: ListKeys) -> list[Key]:
        return [Key(id="k", name="x" * 1000, scopes=[], cidrs=[], created_at=NOW)] * 2000

    router = NatsRouter()
    rpc.serve_rpc(router, ListKeys, keys)
    other_bus.broker.include_router(router)
    await other_bus.start()
    with pytest.raises(RequestError, match="too large"):
        await bus.request(ListKeys(tenant_id="t1"))


async def _refusal_code(bus: Bus, request: DeleteMonitor) -> ErrorCode | None:
    try:
        await bus.request(request)
    except RequestError as error:
        return error.info.code
    return None


@pytest.mark.parametrize("steps", range(4))
async def test_a_flush_cancelled_at_any_step_does_not_end_the_read_loop(bus: Bus, other_bus: Bus, steps: int) -> None:
    async def delete(_: DeleteMonitor) -> None:
        return None

    async with serving_deletes(other_bus, delete), asyncio.TaskGroup() as group:
        flush = group.create_task(bus.client.flush())
        for _ in range(steps):
            await asyncio.sleep(0)
        flush.cancel()
        await bus.client.flush()  # its PONG comes behind that of the other
        assert await bus.request(DELETE_REQUEST) is None
