"""Route /results/stream: server-sent events with results and state changes."""

from typing import Annotated

from litestar import get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import HeaderParameter, QueryParameter

from libs.bus import feed
from libs.model.ids import is_id
from libs.model.requests.errors import ErrorCode, RequestError
from services.gateway.dialects.native import parameters
from services.gateway.session import TenantSession
from services.gateway.web.event_stream import EventStreamResponse

_DESCRIPTION = (
    "Server-sent events. `event: result` carries a result; `event: transition`, `incident_opened` and "
    "`incident_closed` carry a state change. Reconnect with the last `id` as `Last-Event-ID` to resume without a gap."
)


@get(
    "/results/stream",
    tags=["Results"],
    summary="Stream results and state changes",
    description=_DESCRIPTION,
    responses={
        200: ResponseSpec(str, media_type="text/event-stream", description="The event stream", generate_examples=False)
    },
)
async def follow_results(
    *,
    session: NamedDependency[TenantSession],
    monitor: Annotated[str | None, QueryParameter(description="Only events of the monitor with this id.")] = None,
    kind: Annotated[str | None, QueryParameter(description="Only events of this kind.")] = None,
    last_event_id: Annotated[
        str | None, HeaderParameter(name="Last-Event-ID", description="The id of the last received event.")
    ] = None,
) -> EventStreamResponse:
    if monitor is not None and not is_id(monitor):
        raise RequestError(ErrorCode.INVALID, "must be the id of a monitor", "monitor")
    if last_event_id:
        _check_event_id(last_event_id)
    return session.follow_feed(kind=parameters.require_kind(kind), monitor_id=monitor, after=last_event_id or None)


def _check_event_id(text: str) -> None:
    try:
        feed.FeedCursor.parse(text)
    except ValueError as error:
        raise RequestError(ErrorCode.INVALID, "must be the id of an event of this stream", "Last-Event-ID") from error


HANDLERS = [follow_results]
