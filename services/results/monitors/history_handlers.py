"""Request handlers for the history of a monitor: results, transitions and uptime."""

from datetime import UTC, datetime, timedelta

from libs.model.monitor import ResultView, UptimeView
from libs.model.requests.base import Page
from libs.model.requests.errors import ErrorCode, RequestError
from libs.model.requests.messages import GetUptime, ListResults, ListTransitions
from libs.model.state import Transition
from libs.process.service import Clock
from libs.store.core.driver import Db
from libs.store.core.pool import Store
from libs.store.ingest import history, uptime
from libs.store.ingest.history import ResultCursor, TransitionCursor
from libs.store.ingest.uptime import StatusDurations, TimeSpan
from libs.store.monitors import monitors
from services.results import cursors
from services.results.error_mapping import MONITOR_NOT_FOUND, not_found, parse_monitor_id
from services.results.monitors import uptime_calculation

DAY = timedelta(days=1)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"


class HistoryHandlers:
    """Handlers of history requests."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    async def results(self, request: ListResults) -> Page[ResultView]:
        before = ResultCursor(request.to_at or self._clock() + DAY)
        if request.cursor is not None:
            before = min(before, cursors.decode(request.cursor, ResultCursor))
        async with self._store.connection() as db:
            monitor = await _require_monitor(db, request.tenant_id, request.monitor_id)
            found = await history.page_results(
                db, monitor, from_at=request.from_at or _EPOCH, before=before, limit=request.limit + 1
            )
        return cursors.paginate(found, request.limit, lambda view: ResultCursor(view.tick_at, view.location))

    async def transitions(self, request: ListTransitions) -> Page[Transition]:
        before = TransitionCursor(self._clock() + DAY, _LAST_ID)
        if request.cursor is not None:
            before = cursors.decode(request.cursor, TransitionCursor)
            cursors.parse_id(before.id)
        async with self._store.connection() as db:
            monitor = await _require_monitor(db, request.tenant_id, request.monitor_id)
            found = await history.page_transitions(db, monitor, before, request.limit + 1)
        return cursors.paginate(found, request.limit, lambda transition: TransitionCursor(transition.at, transition.id))

    async def uptime(self, request: GetUptime) -> UptimeView:
        """Returns the uptime of a window, which is cut at the present time."""
        now = self._clock()
        window = TimeSpan(request.from_at, min(request.to_at, now))
        if window.from_at >= window.to_at:
            raise RequestError(ErrorCode.INVALID, "must be before `to` and in the past", "from")
        async with self._store.connection() as db:
            locations = await monitors.get_locations(db, request.tenant_id, parse_monitor_id(request.monitor_id))
            if locations is None:
                raise not_found(MONITOR_NOT_FOUND)
            rolled = await _load_rollups(db, request.monitor_id, window, now)
            rest = uptime_calculation.subtract(window, [each.span for each in rolled])
            ticks = await uptime.load_ticks(db, request.monitor_id, locations, rest)
        return uptime_calculation.compute_uptime(window, rolled, ticks)


async def _load_rollups(db: Db, monitor: str, window: TimeSpan, now: datetime) -> list[StatusDurations]:
    """Returns the rollups inside `window`: daily ones where the day is certainly complete, else hourly ones."""
    # The last hour of a day is rolled up during the first hours of the next one.
    days_until = min(window.to_at, uptime_calculation.floor(now, DAY) - DAY)
    days = await uptime.load_days(db, monitor, [TimeSpan(window.from_at, days_until)])
    rest = uptime_calculation.subtract(window, [each.span for each in days])
    return [*days, *await uptime.load_hours(db, monitor, rest)]


async def _require_monitor(db: Db, tenant_id: str, id_text: str) -> tuple[str, str]:
    """Returns (tenant id, monitor id); raises RequestError if the monitor does not exist."""
    if not await monitors.exists(db, tenant_id, parse_monitor_id(id_text)):
        raise not_found(MONITOR_NOT_FOUND)
    return tenant_id, id_text
