"""Routes /monitors/{id}/results, /uptime and /transitions: the history of a monitor."""

from datetime import timedelta

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath

from libs.model.monitor import ResultView, UptimeView
from libs.model.requests.base import Page
from libs.model.requests.errors import ErrorCode, RequestError
from libs.model.requests.messages import GetUptime, ListResults, ListTransitions
from libs.model.state import Transition
from services.gateway.dialects.native import parameters
from services.gateway.session import TenantSession

TAGS = ["Results"]
UPTIME_DEFAULT = timedelta(hours=24)
UPTIME_MAX = timedelta(days=3700)


@get("/monitors/{monitor_id:str}/results", tags=TAGS, summary="List the results of a monitor, newest first")
async def list_results(  # noqa: PLR0913 - one argument for each query parameter
    *,
    monitor_id: FromPath[str],
    session: NamedDependency[TenantSession],
    from_at: parameters.From = None,
    to_at: parameters.To = None,
    limit: parameters.Limit = parameters.LIMIT_DEFAULT,
    cursor: parameters.Cursor = None,
) -> Page[ResultView]:
    request = ListResults(
        monitor_id=parameters.require_id(monitor_id, "monitor"),
        limit=limit,
        from_at=parameters.parse_instant("from", from_at),
        to_at=parameters.parse_instant("to", to_at),
        cursor=cursor,
    )
    return await session.request(request)


@get(
    "/monitors/{monitor_id:str}/uptime", tags=TAGS, summary="Show uptime and downtime, by default of the last 24 hours"
)
async def get_uptime(
    monitor_id: FromPath[str],
    session: NamedDependency[TenantSession],
    from_at: parameters.From = None,
    to_at: parameters.To = None,
) -> UptimeView:
    end = parameters.parse_instant("to", to_at) or session.now()
    start = parameters.parse_instant("from", from_at) or end - UPTIME_DEFAULT
    if not start < end <= start + UPTIME_MAX:
        detail = f"must be earlier than `to`, by {UPTIME_MAX.days} days at most"
        raise RequestError(ErrorCode.INVALID, detail, "from")
    request = GetUptime(
        monitor_id=parameters.require_id(monitor_id, "monitor"),
        from_at=start,
        to_at=end,
    )
    return await session.request(request)


@get("/monitors/{monitor_id:str}/transitions", tags=TAGS, summary="List the state changes of a monitor, newest first")
async def list_transitions(
    monitor_id: FromPath[str],
    session: NamedDependency[TenantSession],
    limit: parameters.Limit = parameters.LIMIT_DEFAULT,
    cursor: parameters.Cursor = None,
) -> Page[Transition]:
    request = ListTransitions(
        monitor_id=parameters.require_id(monitor_id, "monitor"),
        limit=limit,
        cursor=cursor,
    )
    return await session.request(request)


HANDLERS = [list_results, get_uptime, list_transitions]
