from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.model.ids import new_id
from libs.model.monitor import ResultView, UptimeView
from libs.model.outcome import Status
from libs.model.requests.base import Page
from libs.model.requests.errors import ErrorCode
from libs.model.requests.messages import GetUptime, ListResults, ListTransitions
from libs.model.state import Transition
from tests.support.room import Room

_ADD_TRANSITION = """
INSERT INTO transitions (id, monitor_id, at, old, new, reason, incident_id) VALUES ($1, $2, $3, 'up', 'down', '', $4)
"""
_ADD_HOUR = "INSERT INTO rollups_hourly VALUES ($1, 'local', $2, 1800, 0, 1200, 0, 600, 60, 1, 1)"
_ADD_DAY = "INSERT INTO rollups_daily VALUES ($1, 'local', $2, 80000, 0, 6400, 0, 0, 1440, 1, 1)"


async def results(room: Room, monitor_id: str, **fields: Any) -> Page[ResultView]:
    return await room.ask(ListResults(tenant_id=room.tenant_id, monitor_id=monitor_id, **({"limit": 50} | fields)))


async def uptime(room: Room, monitor_id: str, from_at: datetime, to_at: datetime) -> UptimeView:
    return await room.ask(GetUptime(tenant_id=room.tenant_id, monitor_id=monitor_id, from_at=from_at, to_at=to_at))


async def test_results_are_newest_first_and_pages_neither_skip_nor_repeat(room: Room) -> None:
    view = await room.create(locations=["a", "b"])
    start = room.clock.now
    for hours in (-40, -30, -1, 0):
        for location in ("a", "b"):
            await room.add_result(view.id, start + timedelta(hours=hours), location=location)
    seen: list[tuple[datetime, str]] = []
    page = await results(room, view.id, limit=3)
    while True:
        seen += [(result.tick_at, result.location) for result in page.items]
        if page.next_cursor is None:
            break
        page = await results(room, view.id, limit=3, cursor=page.next_cursor)
    assert seen == [(start + timedelta(hours=hours), place) for hours in (0, -1, -30, -40) for place in ("b", "a")]


async def test_results_are_those_from_until_before(room: Room) -> None:
    view = await room.create()
    ticks = [room.clock.now - timedelta(minutes=minute) for minute in (3, 2, 1)]
    for tick_at in ticks:
        await room.add_result(view.id, tick_at)
    page = await results(room, view.id, from_at=ticks[0], to_at=ticks[2])
    assert [result.tick_at for result in page.items] == [ticks[1], ticks[0]]
    first = await results(room, view.id, from_at=ticks[1], limit=1)
    rest = await results(room, view.id, from_at=ticks[1], cursor=first.next_cursor)
    assert [result.tick_at for result in rest.items] == [ticks[1]]


async def test_a_result_shows_everything_that_was_measured(room: Room) -> None:
    view = await room.create()
    await room.add_result(view.id, room.clock.now, Status.DOWN)
    (result,) = (await results(room, view.id)).items
    assert (result.status, result.samples, result.hops[0].target) == (Status.DOWN, {"total_s": 0.1}, "http://x/")


async def test_transitions_are_newest_first_in_pages(room: Room) -> None:
    view = await room.create()
    for minute in (1, 2, 2, 3):
        at = room.clock.now - timedelta(minutes=minute)
        await room.rows(_ADD_TRANSITION, new_id(), view.id, at, new_id())

    async def page(cursor: str | None = None) -> Page[Transition]:
        request = ListTransitions(tenant_id=room.tenant_id, monitor_id=view.id, limit=2, cursor=cursor)
        return await room.ask(request)

    first = await page()
    second = await page(first.next_cursor)
    assert second.next_cursor is None
    found = first.items + second.items
    assert [(room.clock.now - each.at) / timedelta(minutes=1) for each in found] == [1, 2, 2, 3]
    assert len({each.id for each in found}) == 4


async def test_uptime_of_the_present_hour_comes_from_single_ticks(room: Room) -> None:
    view = await room.create()
    now = room.clock.now
    for minute, status in ((4, Status.UP), (3, Status.DOWN), (2, Status.UNKNOWN), (1, Status.UP)):
        await room.add_result(view.id, now - timedelta(minutes=minute), status)
    shown = await uptime(room, view.id, now - timedelta(minutes=5, seconds=30), now)
    assert (shown.up_s, shown.down_s, shown.unknown_s, shown.unwatched_s) == (120, 60, 60, 90)
    assert shown.uptime == pytest.approx(2 / 3)


async def test_uptime_ends_now_and_its_edges_are_cut(room: Room) -> None:
    view = await room.create()
    now = room.clock.now
    await room.add_result(view.id, now - timedelta(seconds=80))
    await room.add_result(view.id, now - timedelta(seconds=20))
    shown = await uptime(room, view.id, now - timedelta(seconds=50), now + timedelta(days=1))
    assert (shown.to_at, shown.up_s, shown.unwatched_s, shown.uptime) == (now, 50, 0, 1)


async def test_uptime_takes_whole_hours_and_days_from_the_rollups(room: Room) -> None:
    view = await room.create()
    room.clock.now = datetime.combine(room.clock.now.date(), datetime.min.time(), UTC) + timedelta(hours=12)
    midnight = room.clock.now - timedelta(hours=12)
    await room.rows(_ADD_HOUR, view.id, midnight + timedelta(hours=3))
    await room.rows(_ADD_DAY, view.id, midnight - timedelta(days=5))
    await room.rows(_ADD_HOUR, view.id, midnight - timedelta(days=5, hours=-2))  # within the day: not counted twice
    hour = await uptime(room, view.id, midnight + timedelta(hours=3), midnight + timedelta(hours=4))
    assert (hour.up_s, hour.down_s, hour.missed_s, hour.unwatched_s, hour.uptime) == (1800, 1200, 600, 0, 0.6)
    all_of_it = await uptime(room, view.id, midnight - timedelta(days=5), midnight + timedelta(hours=5))
    assert (all_of_it.up_s, all_of_it.down_s) == (81800, 7600)


async def test_uptime_of_nothing_is_none(room: Room) -> None:
    view = await room.create()
    shown = await uptime(room, view.id, room.clock.now - timedelta(hours=3), room.clock.now)
    assert (shown.uptime, shown.unwatched_s) == (None, 3 * 3600)


async def test_a_window_that_is_empty_or_to_come_is_refused(room: Room) -> None:
    view = await room.create()
    now = room.clock.now
    for from_at, to_at in ((now, now), (now, now + timedelta(days=1)), (now - timedelta(1), now - timedelta(2))):
        request = GetUptime(tenant_id=room.tenant_id, monitor_id=view.id, from_at=from_at, to_at=to_at)
        refusal = await room.refused(request)
        assert (refusal.code, refusal.field) == (ErrorCode.INVALID, "from")
