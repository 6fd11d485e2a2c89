"""Routes /monitors: create, list, show, change and delete monitors."""

from typing import Annotated

from litestar import Response, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter

from libs.model.fields.validation import NAME_LENGTH_MAX
from libs.model.monitor import MonitorView
from libs.model.requests.base import Page
from libs.model.requests.messages import ChangeMonitor, CreateMonitor, DeleteMonitor, GetMonitor, ListMonitors
from libs.model.tenancy import Scope
from services.gateway.access.authenticator import requires_scope
from services.gateway.dialects.native import parameters
from services.gateway.dialects.native.schemas import MonitorCreate, MonitorPatch
from services.gateway.session import TenantSession

TAGS = ["Monitors"]


@post("/monitors", guards=[requires_scope(Scope.WRITE)], tags=TAGS, summary="Create a monitor")
async def create_monitor(
    data: JSONBody[MonitorCreate],
    session: NamedDependency[TenantSession],
    idempotency_key: parameters.IdempotencyKey = None,
) -> Response[MonitorView]:
    request = CreateMonitor(
        draft=data.to_draft(session.spec_intake),
        idempotency=parameters.make_idempotency(
            idempotency_key, CreateMonitor.verb, data.with_digests(session.spec_intake)
        ),
    )
    view = await session.request(request)
    return Response(view, headers={"Location": f"/api/v2/monitors/{view.id}"})


@get("/monitors", tags=TAGS, summary="List monitors, newest first")
async def list_monitors(  # noqa: PLR0913 - one argument for each query parameter
    *,
    session: NamedDependency[TenantSession],
    limit: parameters.Limit = parameters.LIMIT_DEFAULT,
    cursor: parameters.Cursor = None,
    kind: Annotated[str | None, QueryParameter(description="Only monitors of this kind.")] = None,
    status: Annotated[str | None, QueryParameter(name="state", description="Only monitors in this state.")] = None,
    label: Annotated[
        list[str] | None, QueryParameter(description="Only monitors with this label, `key:value`; repeatable.")
    ] = None,
    name: Annotated[
        str | None,
        QueryParameter(max_length=NAME_LENGTH_MAX, description="Only monitors with this text in their name."),
    ] = None,
) -> Page[MonitorView]:
    request = ListMonitors(
        limit=limit,
        cursor=cursor,
        kind=parameters.require_kind(kind),
        state=parameters.parse_state(status),
        labels=parameters.parse_labels(label or []),
        name=name,
    )
    return await session.request(request)


@get("/monitors/{monitor_id:str}", tags=TAGS, summary="Show a monitor with its state and its last result")
async def get_monitor(monitor_id: FromPath[str], session: NamedDependency[TenantSession]) -> MonitorView:
    monitor_id = parameters.require_id(monitor_id, "monitor")
    return await session.request(GetMonitor(monitor_id=monitor_id))


@patch("/monitors/{monitor_id:str}", guards=[requires_scope(Scope.WRITE)], tags=TAGS, summary="Change a monitor")
async def change_monitor(
    monitor_id: FromPath[str],
    data: JSONBody[MonitorPatch],
    session: NamedDependency[TenantSession],
) -> MonitorView:
    monitor_id = parameters.require_id(monitor_id, "monitor")
    change = data.to_change(session.spec_intake)
    request = ChangeMonitor(monitor_id=monitor_id, change=change)
    return await session.request(request)


@delete("/monitors/{monitor_id:str}", guards=[requires_scope(Scope.WRITE)], tags=TAGS, summary="Delete a monitor")
async def delete_monitor(monitor_id: FromPath[str], session: NamedDependency[TenantSession]) -> None:
    monitor_id = parameters.require_id(monitor_id, "monitor")
    await session.request(DeleteMonitor(monitor_id=monitor_id))


HANDLERS = [create_monitor, list_monitors, get_monitor, change_monitor, delete_monitor]
