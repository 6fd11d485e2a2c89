"""/monitors/{id}/results, /uptime and /transitions: what was seen."""

from datetime import timedelta

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath

from libs.model.monitor import ResultView, UptimeView
from libs.model.refusal import RefusalCode, RefusedError
from libs.model.request import Page
from libs.model.requests import GetUptime, ListResults, ListTransitions
from libs.model.state import Transition
from services.gateway.caller import Caller
from services.gateway.native import query

TAGS = ["results"]
UPTIME_DEFAULT = timedelta(hours=24)
UPTIME_MAX = timedelta(days=3700)


@get("/monitors/{monitor_id:str}/results", tags=TAGS, summary="List the results of a monitor, newest first")
async def list_results(  # noqa: PLR0913 - one argument for each query parameter
    *,
    monitor_id: FromPath[str],
    caller: NamedDependency[Caller],
    from_at: query.From = None,
    to_at: query.To = None,
    limit: query.Limit = query.LIMIT_DEFAULT,
    cursor: query.Cursor = None,
) -> Page[ResultView]:
    request = ListResults(
        monitor_id=query.existing_id(monitor_id, "monitor"),
        limit=limit,
        from_at=query.instant("from", from_at),
        to_at=query.instant("to", to_at),
        cursor=cursor,
    )
    return await caller.ask(request)


@get("/monitors/{monitor_id:str}/uptime", tags=TAGS, summary="Show how time was spent, by default the last 24 hours")
async def get_uptime(
    monitor_id: FromPath[str],
    caller: NamedDependency[Caller],
    from_at: query.From = None,
    to_at: query.To = None,
) -> UptimeView:
    end = query.instant("to", to_at) or caller.now()
    start = query.instant("from", from_at) or end - UPTIME_DEFAULT
    if not start < end <= start + UPTIME_MAX:
        detail = f"must be earlier than `to`, by {UPTIME_MAX.days} days at most"
        raise RefusedError(RefusalCode.INVALID, detail, "from")
    request = GetUptime(
        monitor_id=query.existing_id(monitor_id, "monitor"),
        from_at=start,
        to_at=end,
    )
    return await caller.ask(request)


@get("/monitors/{monitor_id:str}/transitions", tags=TAGS, summary="List the changes of its state, newest first")
async def list_transitions(
    monitor_id: FromPath[str],
    caller: NamedDependency[Caller],
    limit: query.Limit = query.LIMIT_DEFAULT,
    cursor: query.Cursor = None,
) -> Page[Transition]:
    request = ListTransitions(
        monitor_id=query.existing_id(monitor_id, "monitor"),
        limit=limit,
        cursor=cursor,
    )
    return await caller.ask(request)


HANDLERS = [list_results, get_uptime, list_transitions]
