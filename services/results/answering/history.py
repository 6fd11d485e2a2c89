"""What happened to a monitor: results, transitions, and how its time was spent."""

from datetime import UTC, datetime, timedelta

from libs.model.monitor import ResultView, UptimeView
from libs.model.refusal import RefusalCode, RefusedError
from libs.model.request import Page
from libs.model.requests import GetUptime, ListResults, ListTransitions
from libs.model.state import Transition
from libs.process.service import Clock
from libs.store import history, monitors, uptime
from libs.store.driver import Db
from libs.store.history import ResultsBefore, TransitionsBefore
from libs.store.pool import Store
from libs.store.uptime import Rolled, Span
from services.results.answering import cursors, time_spent
from services.results.answering.refusing import NO_MONITOR, monitor_id, not_found

DAY = timedelta(days=1)

_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"


class History:
    """Answers the requests about what happened."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    async def results(self, request: ListResults) -> Page[ResultView]:
        before = ResultsBefore(request.to_at or self._clock() + DAY)
        if request.cursor is not None:
            before = min(before, cursors.decode(request.cursor, ResultsBefore))
        async with self._store.connection() as db:
            monitor = await _known(db, request.tenant_id, request.monitor_id)
            found = await history.results(
                db, monitor, from_at=request.from_at or _EARLIEST, before=before, limit=request.limit + 1
            )
        return cursors.cut(found, request.limit, lambda view: ResultsBefore(view.tick_at, view.location))

    async def transitions(self, request: ListTransitions) -> Page[Transition]:
        before = TransitionsBefore(self._clock() + DAY, _LAST_ID)
        if request.cursor is not None:
            before = cursors.decode(request.cursor, TransitionsBefore)
            cursors.checked_id(before.id)
        async with self._store.connection() as db:
            monitor = await _known(db, request.tenant_id, request.monitor_id)
            found = await history.transitions(db, monitor, before, request.limit + 1)
        return cursors.cut(found, request.limit, lambda transition: TransitionsBefore(transition.at, transition.id))

    async def uptime(self, request: GetUptime) -> UptimeView:
        """Tells how the time was spent, at most until now."""
        now = self._clock()
        window = Span(request.from_at, min(request.to_at, now))
        if window.from_at >= window.to_at:
            raise RefusedError(RefusalCode.INVALID, "must be before `to`, and in the past", "from")
        async with self._store.connection() as db:
            locations = await monitors.locations(db, request.tenant_id, monitor_id(request.monitor_id))
            if locations is None:
                raise not_found(NO_MONITOR)
            rolled = await _rolled(db, request.monitor_id, window, now)
            rest = time_spent.without(window, [each.span for each in rolled])
            ticks = await uptime.ticks(db, request.monitor_id, locations, rest)
        return time_spent.uptime(window, rolled, ticks)


async def _rolled(db: Db, monitor: str, window: Span, now: datetime) -> list[Rolled]:
    """Returns what is rolled up inside `window`: by day where the day is surely complete, else by hour."""
    # The last hour of a day is rolled up during the first hours of the next one.
    days_until = min(window.to_at, time_spent.floor(now, DAY) - DAY)
    days = await uptime.days(db, monitor, [Span(window.from_at, days_until)])
    rest = time_spent.without(window, [each.span for each in days])
    return [*days, *await uptime.hours(db, monitor, rest)]


async def _known(db: Db, tenant_id: str, id_text: str) -> tuple[str, str]:
    """Returns the key of a monitor that is there, as (tenant, id)."""
    if not await monitors.exists(db, tenant_id, monitor_id(id_text)):
        raise not_found(NO_MONITOR)
    return tenant_id, id_text
