"""/results/stream: results and events as they happen."""

import functools
from typing import Annotated, Any

from litestar import Request, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import HeaderParameter, QueryParameter

from libs.bus import live
from libs.model.ids import is_id
from libs.model.refusal import RefusalCode, RefusedError
from libs.model.tenancy import Principal
from services.gateway.means import Means
from services.gateway.native import query
from services.gateway.sse import EventStream, Follow

_DESCRIPTION = (
    "Server-sent events. `event: result` carries a result; `event: transition`, `incident_opened` and "
    "`incident_closed` carry an event. Come back with the last `id` as `Last-Event-ID`, and nothing is missed."
)


@get(
    "/results/stream",
    tags=["results"],
    summary="Follow results and state changes live",
    description=_DESCRIPTION,
    responses={
        200: ResponseSpec(str, media_type="text/event-stream", description="The stream", generate_examples=False)
    },
)
async def follow_results(  # noqa: PLR0913 - one argument for each parameter
    *,
    request: Request[Principal, str, Any],
    means: NamedDependency[Means],
    principal: NamedDependency[Principal],
    monitor: Annotated[str | None, QueryParameter(description="Only of the monitor with this id.")] = None,
    kind: Annotated[str | None, QueryParameter(description="Only of this kind.")] = None,
    last_event_id: Annotated[
        str | None, HeaderParameter(name="Last-Event-ID", description="The id of the last event that was seen.")
    ] = None,
) -> EventStream:
    if monitor is not None and not is_id(monitor):
        raise RefusedError(RefusalCode.INVALID, "must be the id of a monitor", "monitor")
    follow = _follow(means, principal.tenant_id, query.known_kind(kind), monitor, last_event_id or None)
    address = request.client.host if request.client else ""
    key_id = principal.key_id
    ended = functools.partial(means.authority.until_refused, request.auth, address, key_id)
    return EventStream(means.streams, follow, ended)


def _follow(means: Means, tenant_id: str, kind: str | None, monitor_id: str | None, after: str | None) -> Follow:
    if after is not None:
        try:
            live.Position.parse(after)
        except ValueError as error:
            raise RefusedError(
                RefusalCode.INVALID, "must be the id of an event of this stream", "Last-Event-ID"
            ) from error
    return live.follow(means.bus, tenant_id, kind=kind, monitor_id=monitor_id, after=after)


HANDLERS = [follow_results]
