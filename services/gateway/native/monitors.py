"""/monitors: what is watched."""

from typing import Annotated

from litestar import Response, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter

from libs.model.monitor import MonitorView
from libs.model.naming import NAME_LENGTH_MAX
from libs.model.request import Page
from libs.model.requests import ChangeMonitor, CreateMonitor, DeleteMonitor, GetMonitor, ListMonitors
from libs.model.tenancy import Scope
from services.gateway.auth import needs
from services.gateway.caller import Caller
from services.gateway.native import query
from services.gateway.native.shapes import MonitorCreate, MonitorPatch

TAGS = ["monitors"]


@post("/monitors", guards=[needs(Scope.WRITE)], tags=TAGS, summary="Create a monitor")
async def create_monitor(
    data: JSONBody[MonitorCreate],
    caller: NamedDependency[Caller],
    idempotency_key: query.IdempotencyKey = None,
) -> Response[MonitorView]:
    request = CreateMonitor(
        draft=data.draft(caller.specs),
        idempotency=query.idempotency(idempotency_key, CreateMonitor.verb, data.digested(caller.specs)),
    )
    view = await caller.ask(request)
    return Response(view, headers={"Location": f"/api/v2/monitors/{view.id}"})


@get("/monitors", tags=TAGS, summary="List monitors, newest first")
async def list_monitors(  # noqa: PLR0913 - one argument for each query parameter
    *,
    caller: NamedDependency[Caller],
    limit: query.Limit = query.LIMIT_DEFAULT,
    cursor: query.Cursor = None,
    kind: Annotated[str | None, QueryParameter(description="Only of this kind.")] = None,
    status: Annotated[str | None, QueryParameter(name="state", description="Only in this state.")] = None,
    label: Annotated[list[str] | None, QueryParameter(description="Only with this `key:value`; repeatable.")] = None,
    name: Annotated[
        str | None, QueryParameter(max_length=NAME_LENGTH_MAX, description="Only with this in the name.")
    ] = None,
) -> Page[MonitorView]:
    request = ListMonitors(
        limit=limit,
        cursor=cursor,
        kind=query.known_kind(kind),
        state=query.known_state(status),
        labels=query.labels(label or []),
        name=name,
    )
    return await caller.ask(request)


@get("/monitors/{monitor_id:str}", tags=TAGS, summary="Show a monitor with its state and its last result")
async def get_monitor(monitor_id: FromPath[str], caller: NamedDependency[Caller]) -> MonitorView:
    monitor_id = query.existing_id(monitor_id, "monitor")
    return await caller.ask(GetMonitor(monitor_id=monitor_id))


@patch("/monitors/{monitor_id:str}", guards=[needs(Scope.WRITE)], tags=TAGS, summary="Change a monitor")
async def change_monitor(
    monitor_id: FromPath[str],
    data: JSONBody[MonitorPatch],
    caller: NamedDependency[Caller],
) -> MonitorView:
    monitor_id = query.existing_id(monitor_id, "monitor")
    change = data.change(caller.specs)
    request = ChangeMonitor(monitor_id=monitor_id, change=change)
    return await caller.ask(request)


@delete("/monitors/{monitor_id:str}", guards=[needs(Scope.WRITE)], tags=TAGS, summary="Delete a monitor")
async def delete_monitor(monitor_id: FromPath[str], caller: NamedDependency[Caller]) -> None:
    monitor_id = query.existing_id(monitor_id, "monitor")
    await caller.ask(DeleteMonitor(monitor_id=monitor_id))


HANDLERS = [create_monitor, list_monitors, get_monitor, change_monitor, delete_monitor]
