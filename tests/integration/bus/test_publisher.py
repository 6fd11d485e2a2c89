"""Publishing: acknowledged or reported as failed, deduplicated, never blocked forever."""

import asyncio
from collections.abc import Coroutine
from typing import Never

import pytest

from libs.bus import provisioning
from libs.bus.client.message import Message
from libs.bus.connection import Bus
from libs.bus.errors import BusError
from tests.support.servers import NatsServer
from tests.support.wait import eventually

SUBJECT = "results.t1.local.http.m1"


async def stored_count(bus: Bus) -> int:
    return (await bus.jetstream.stream_info("RESULTS")).state.messages


async def test_a_message_with_an_id_is_stored_once(bus: Bus) -> None:
    for _ in range(3):
        await bus.publish(Message(SUBJECT, b"{}", "tick-1"))
    assert await stored_count(bus) == 1


async def test_many_messages_are_stored_and_the_rejected_ones_are_returned(bus: Bus) -> None:
    good = [Message(SUBJECT, b"{}", f"tick-{number}") for number in range(2500)]
    bad = Message("nowhere.at.all", b"{}")
    assert await bus.publish_all([*good[:1200], bad, *good[1200:]]) == [bad]
    assert await stored_count(bus) == 2500


async def test_a_subject_without_a_stream_is_a_bus_error(bus: Bus) -> None:
    with pytest.raises(BusError, match="no stream"):
        await bus.publish(Message("nowhere.at.all", b""))


async def test_a_rejection_is_a_bus_error_with_the_text_of_the_server(bus: Bus) -> None:
    headers = {"Nats-Expected-Stream": "OTHER"}
    with pytest.raises(BusError, match="expected stream does not match"):
        await bus.publish(Message(SUBJECT, b"", headers=headers))


async def test_a_body_above_the_limit_is_a_bus_error(bus: Bus) -> None:
    huge = Message(SUBJECT, b"x" * (1 << 20) + b"x")
    with pytest.raises(BusError, match="maximum payload"):
        await bus.publish(huge)
    assert await bus.publish_all([huge]) == [huge]


async def test_a_lost_server_is_a_bus_error_and_releases_all_slots(bus: Bus, nats_server: NatsServer) -> None:
    nats_server.kill()
    with pytest.raises(BusError):
        await bus.publish(Message(SUBJECT, b"{}", "lost"), timeout_s=0.3)
    several = [Message(SUBJECT, b"{}", f"tick-{number}") for number in range(50)]
    assert await bus.publish_all(several, timeout_s=0.3) == several
    assert bus._publisher._pending_acks == {}
    nats_server.start()
    await provisioning.provision(bus, results_bytes_max=1 << 20)
    assert await bus.publish_all(several) == []


async def test_a_broken_connection_fails_pending_publishes_at_once(bus: Bus, nats_server: NatsServer) -> None:
    nats_server.kill()
    with pytest.raises(BusError, match="broke"):
        await bus.publish(Message(SUBJECT, b"{}"), timeout_s=50)


async def test_a_cancelled_publish_leaves_no_pending_ack(bus: Bus, nats_server: NatsServer) -> None:
    nats_server.kill()
    await eventually(lambda: _is_cut_off(bus), within_s=10, what="the client notices")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await bus.publish(Message(SUBJECT, b"{}"))
    assert bus._publisher._pending_acks == {}


async def test_an_unreachable_server_is_a_bus_error(nats_server: NatsServer) -> None:
    nats_server.kill()
    with pytest.raises(BusError, match=f"connect to nats://127.0.0.1:{nats_server.port}"):
        async with Bus.open(nats_server.url.replace("//", "//user:secret@"), name="test", connect_timeout_s=0.5):
            pass


async def test_a_subscriber_receives_core_messages(bus: Bus, other_bus: Bus) -> None:
    async with bus.subscribe("control.keys.revoked") as bodies:
        await other_bus.publish_core("control.keys.revoked", b"key-1")
        await other_bus.publish_core("control.keys.revoked", b"key-2")
        assert [await anext(bodies), await anext(bodies)] == [b"key-1", b"key-2"]


async def test_a_check_without_a_reply_returns_none(bus: Bus) -> None:
    assert await bus.publish_and_await_reply(Message("due.0.local.http.x", b"{}"), 0.2) is None


async def test_a_connection_closed_for_good_raises_a_bus_error(bus: Bus) -> None:
    async with asyncio.TaskGroup() as group:
        lost = group.create_task(_error_of(bus.wait_until_lost()))
        await asyncio.sleep(0)
        await bus.client.close()
    assert "closed" in str(lost.result())


async def _is_cut_off(bus: Bus) -> bool:
    return not bus.client.is_connected


async def _error_of(forever: Coroutine[object, object, Never]) -> BusError:
    try:
        await forever
    except BusError as error:
        return error
