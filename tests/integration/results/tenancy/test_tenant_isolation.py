"""Nobody sees or touches the things of another tenant, whatever is asked."""

import asyncio
from datetime import timedelta

import pytest

from libs.model.monitor import MonitorChange
from libs.model.requests.base import RpcRequest
from libs.model.requests.errors import ErrorCode
from libs.model.requests.messages import (
    ChangeMonitor,
    CreateKey,
    DeleteKey,
    DeleteMonitor,
    GetMonitor,
    GetUptime,
    ListKeys,
    ListMonitors,
    ListResults,
    ListTransitions,
)
from libs.model.tenancy import Scope
from tests.support.room import Room, open_room
from tests.support.servers import PostgresServer

INVALID_IDS = ["", "no id", "0190F5AC-7A3F-7C11-9B52-2A1D0C4E8F00", "0190f5ac7a3f7c119b522a1d0c4e8f00", "../x"]


def about(room: Room, tenant_id: str, monitor_id: str) -> list[RpcRequest[object]]:
    """Every request that names a monitor."""
    names = {"tenant_id": tenant_id, "monitor_id": monitor_id}
    window = {"from_at": room.clock.now - timedelta(hours=1), "to_at": room.clock.now}
    return [
        GetMonitor(**names),
        ChangeMonitor(**names, change=MonitorChange(name="taken over")),
        ChangeMonitor(**names, change=MonitorChange(enabled=False)),
        DeleteMonitor(**names),
        ListResults(**names, limit=10),
        ListTransitions(**names, limit=10),
        GetUptime(**names, **window),
    ]


async def test_every_request_about_the_monitor_of_another_is_not_found(room: Room) -> None:
    view = await room.create()
    other = await room.add_tenant()
    for request in about(room, other, view.id):
        assert (await room.refused(request)).code is ErrorCode.NOT_FOUND
    assert await room.get(view.id) == view


@pytest.mark.parametrize("text", INVALID_IDS)
async def test_what_is_no_id_is_not_found(room: Room, text: str) -> None:
    for request in about(room, room.tenant_id, text):
        assert (await room.refused(request)).code is ErrorCode.NOT_FOUND
    refusal = await room.refused(DeleteKey(tenant_id=room.tenant_id, key_id=text))
    assert refusal.code is ErrorCode.NOT_FOUND


async def test_lists_hold_only_what_is_ones_own(room: Room) -> None:
    view = await room.create(labels={"a": "b"}, name="x")
    other = await room.add_tenant()
    for filters in ({}, {"labels": {"a": "b"}}, {"name": "x"}, {"kind": "http"}, {"state": view.state.status}):
        page = await room.ask(ListMonitors(tenant_id=other, limit=10, **filters))
        assert page.items == []


async def test_keys_of_another_are_neither_listed_nor_revoked(room: Room) -> None:
    made = await room.ask(CreateKey(tenant_id=room.tenant_id, name="k", scopes=[Scope.READ]))
    other = await room.add_tenant()
    assert await room.ask(ListKeys(tenant_id=other)) == []
    assert (await room.refused(DeleteKey(tenant_id=other, key_id=made.id))).code is ErrorCode.NOT_FOUND
    assert len(await room.ask(ListKeys(tenant_id=room.tenant_id))) == 1


async def test_while_the_database_is_away_the_answer_is_unavailable_and_then_it_is_there_again(
    nats_url: str, own_postgres_server: PostgresServer
) -> None:

    async with open_room(nats_url, own_postgres_server.new_database()) as room:
        view = await room.create()
        own_postgres_server.kill()
        assert (await room.refused(GetMonitor(tenant_id=room.tenant_id, monitor_id=view.id))).code is (
            ErrorCode.UNAVAILABLE
        )
        await asyncio.to_thread(own_postgres_server.start)
        assert await room.get(view.id) == view
