import asyncio
from typing import Any

import msgspec
import pytest

from libs.model.check import Check, Origin
from libs.model.ids import new_id
from libs.model.monitor import MonitorChange, MonitorView
from libs.model.requests.base import Idempotency, Page
from libs.model.requests.errors import ErrorCode
from libs.model.requests.messages import ChangeMonitor, CreateMonitor, DeleteMonitor, ListMonitors
from libs.model.state import StateStatus
from tests.support.room import Room, draft, spec


async def due(room: Room) -> list[Check]:
    """The checks that wait in the outbox, oldest first."""
    rows = await room.rows("SELECT body FROM outbox WHERE subject LIKE 'due.%' ORDER BY id")
    return [msgspec.json.decode(row["body"], type=Check) for row in rows]


async def listed(room: Room, **filters: Any) -> Page[MonitorView]:
    return await room.ask(ListMonitors(tenant_id=room.tenant_id, **({"limit": 50} | filters)))


async def ids(room: Room, **filters: Any) -> list[str]:
    return [view.id for view in (await listed(room, **filters)).items]


async def hold(room: Room, monitor_id: str, status: StateStatus) -> None:
    """Makes the monitor have a state, as the ingest would; a state of down with its incident."""
    incident_id = new_id() if status is StateStatus.DOWN else None
    async with room.store.transaction() as db:
        await db.run(
            "UPDATE states SET status = $2, incident_id = $3 WHERE monitor_id = $1", *(monitor_id, status, incident_id)
        )
        await db.run("UPDATE confirmations SET status = $2, down_run = 3 WHERE monitor_id = $1", monitor_id, status)
        if incident_id:
            await db.run(
                "INSERT INTO incidents (id, monitor_id, opened_at, reason) VALUES ($1, $2, now(), 'refused')",
                *(incident_id, monitor_id),
            )


async def test_a_new_monitor_is_pending_scheduled_and_checked_at_once(room: Room) -> None:
    view = await room.create(locations=["a", "b"], labels={"team": "web"}, name="Shop")
    assert (view.name, view.labels, view.revision, view.enabled) == ("Shop", {"team": "web"}, 1, True)
    assert (view.state.status, view.state.since_at) == (StateStatus.PENDING, room.clock.now)
    assert view.last_result is None
    assert await room.get(view.id) == view
    checks = await due(room)
    assert [check.location for check in checks] == ["a", "b"]
    assert {(check.origin, check.tick_at, check.monitor_id) for check in checks} == {
        (Origin.MANUAL, room.clock.now, view.id)
    }
    schedules = await room.rows("SELECT * FROM schedules ORDER BY location")
    assert [(row["location"], row["active"], row["interval_s"]) for row in schedules] == [
        ("a", True, 60),
        ("b", True, 60),
    ]
    assert all(0 <= row["phase_s"] < 60 and row["since_at"] == room.clock.now for row in schedules)
    assert len(await room.rows("SELECT FROM confirmations WHERE status = 'pending'")) == 2


async def test_a_monitor_created_paused_has_no_schedule_and_no_check(room: Room) -> None:
    view = await room.create(enabled=False)
    assert view.state.reason == "paused"
    assert await room.rows("SELECT FROM schedules") == []
    assert await due(room) == []


async def test_a_new_name_or_label_is_no_new_revision(room: Room) -> None:
    view = await room.create()
    room.clock.move(seconds=1)
    renamed = await room.change(view.id, name="New", labels={"a": "b"})
    assert (renamed.name, renamed.labels, renamed.revision) == ("New", {"a": "b"}, 1)
    assert renamed.updated_at == room.clock.now
    assert [row["version"] for row in await room.rows("SELECT version FROM schedules")] == [1]


async def test_the_same_spec_in_another_spelling_is_no_change(room: Room) -> None:
    view = await room.create(spec=spec(url="http://a/", method="GET"))
    same = msgspec.Raw(b'{"method":"GET", "kind":"http", "url":"http://a/"}')
    assert (await room.change(view.id, spec=same, kind="http", target="http://127.0.0.1/")).revision == 1


async def test_a_new_spec_keeps_the_grid_and_the_state_and_starts_confirmation_anew(room: Room) -> None:
    view = await room.create()
    await hold(room, view.id, StateStatus.DOWN)
    room.clock.move(seconds=90)
    changed = await room.change(view.id, spec=spec(url="http://b/"), kind="http", target="http://b/")
    assert (changed.revision, changed.target, changed.state.status) == (2, "http://b/", StateStatus.DOWN)
    assert await room.rows("SELECT FROM gaps") == []
    assert [row["version"] for row in await room.rows("SELECT version FROM schedules")] == [2]
    assert [(row["down_run"], row["status"]) for row in await room.rows("SELECT * FROM confirmations")] == [(0, "down")]
    assert len(await due(room)) == 1  # that of its creation


async def test_a_new_interval_closes_the_old_grid(room: Room) -> None:
    view = await room.create()
    created_at = room.clock.now
    room.clock.move(minutes=5)
    assert (await room.change(view.id, interval_s=30)).revision == 2
    (gap,) = await room.rows("SELECT * FROM gaps")
    assert (gap["interval_s"], gap["revision"], gap["after_at"], gap["until_at"]) == (60, 1, created_at, room.clock.now)
    (schedule,) = await room.rows("SELECT * FROM schedules")
    assert (schedule["interval_s"], schedule["since_at"], schedule["version"]) == (30, room.clock.now, 2)


async def test_locations_come_and_go(room: Room) -> None:
    view = await room.create(locations=["a", "b"])
    room.clock.move(minutes=5)
    await room.change(view.id, locations=["b", "c"])
    schedules = await room.rows("SELECT * FROM schedules ORDER BY location")
    assert [(row["location"], row["active"]) for row in schedules] == [("a", False), ("b", True), ("c", True)]
    assert [row["location"] for row in await room.rows("SELECT * FROM gaps")] == ["a"]
    assert [row["location"] for row in await room.rows("SELECT * FROM confirmations ORDER BY location")] == ["b", "c"]
    assert [check.location for check in await due(room)] == ["a", "b", "c"]
    await room.change(view.id, locations=["a"])
    schedules = await room.rows("SELECT * FROM schedules ORDER BY location")
    assert [(row["location"], row["active"]) for row in schedules] == [("a", True), ("b", False), ("c", False)]


async def test_pausing_ends_the_schedule_and_closes_the_incident(room: Room) -> None:
    view = await room.create()
    await hold(room, view.id, StateStatus.DOWN)
    room.clock.move(minutes=2)
    paused = await room.change(view.id, enabled=False)
    assert (paused.enabled, paused.revision) == (False, 2)
    assert (paused.state.status, paused.state.reason, paused.state.since_at) == (
        StateStatus.PENDING,
        "paused",
        room.clock.now,
    )
    assert [row["active"] for row in await room.rows("SELECT active FROM schedules")] == [False]
    (incident,) = await room.rows("SELECT * FROM incidents")
    assert (incident["closed_at"], incident["close_reason"]) == (room.clock.now, "paused")
    events = await room.rows("SELECT * FROM outbox WHERE subject LIKE 'events.%' ORDER BY id")
    assert [msgspec.json.decode(row["body"])["type"] for row in events] == ["transition", "incident_closed"]
    assert len(await room.rows("SELECT FROM gaps")) == 1


async def test_resuming_checks_at_once_and_waits_for_a_verdict(room: Room) -> None:
    view = await room.create()
    await room.change(view.id, enabled=False)
    room.clock.move(minutes=2)
    resumed = await room.change(view.id, enabled=True)
    assert (resumed.revision, resumed.state.status, resumed.state.reason) == (3, StateStatus.PENDING, "")
    (schedule,) = await room.rows("SELECT * FROM schedules")
    assert (schedule["active"], schedule["since_at"]) == (True, room.clock.now)
    assert [(check.revision, check.tick_at) for check in await due(room)][1:] == [(3, room.clock.now)]


async def test_a_deleted_monitor_is_gone_and_its_schedule_ends(room: Room) -> None:
    view = await room.create()
    await hold(room, view.id, StateStatus.DOWN)
    delete = DeleteMonitor(tenant_id=room.tenant_id, monitor_id=view.id)
    assert await room.ask(delete) is None
    assert (await room.refused(delete)).code is ErrorCode.NOT_FOUND
    assert await ids(room) == []
    assert [row["active"] for row in await room.rows("SELECT active FROM schedules")] == [False]
    (incident,) = await room.rows("SELECT * FROM incidents")
    assert incident["close_reason"] == "deleted"


async def test_a_spec_of_another_kind_is_refused(room: Room) -> None:
    view = await room.create()
    change = MonitorChange(spec=msgspec.Raw(b'{"kind":"ping"}'), kind="ping", target="x")
    refusal = await room.refused(ChangeMonitor(tenant_id=room.tenant_id, monitor_id=view.id, change=change))
    assert (refusal.code, refusal.field) == (ErrorCode.INVALID, "spec.kind")


@pytest.mark.parametrize(("fields", "field"), [({"interval_s": 10}, "interval_s"), ({"timeout_s": 60.0}, "timeout_s")])
async def test_the_timeout_must_fit_into_the_interval_that_results(room: Room, fields: Any, field: str) -> None:
    view = await room.create(timeout_s=20.0)
    change = MonitorChange(**fields)
    refusal = await room.refused(ChangeMonitor(tenant_id=room.tenant_id, monitor_id=view.id, change=change))
    assert (refusal.code, refusal.field) == (ErrorCode.INVALID, field)
    assert (await room.get(view.id)).revision == 1


async def test_concurrent_changes_all_count(room: Room) -> None:
    view = await room.create()
    async with asyncio.TaskGroup() as group:
        for interval_s in (10, 12, 15, 20, 30, 120, 180, 240):
            group.create_task(room.change(view.id, interval_s=interval_s))
    after = await room.get(view.id)
    assert after.revision == 9
    (schedule,) = await room.rows("SELECT * FROM schedules")
    assert (schedule["version"], schedule["interval_s"]) == (9, after.interval_s)


async def test_the_list_is_newest_first_in_pages_without_doubles(room: Room) -> None:
    made = [(await room.create()).id for _ in range(5)]
    first = await listed(room, limit=2)
    second = await listed(room, limit=2, cursor=first.next_cursor)
    new = (await room.create()).id
    third = await listed(room, limit=2, cursor=second.next_cursor)
    seen = [view.id for page in (first, second, third) for view in page.items]
    assert seen == made[::-1]
    assert third.next_cursor is None
    assert (await ids(room))[0] == new


async def test_a_page_that_just_fits_is_the_last_one(room: Room) -> None:
    await room.create()
    assert (await listed(room, limit=1)).next_cursor is None


@pytest.mark.parametrize("cursor", ["x", "", "bm9uZQ", "eyJpZCI6IjEifQ"])
async def test_a_cursor_that_is_not_ours_is_refused(room: Room, cursor: str) -> None:
    refusal = await room.refused(ListMonitors(tenant_id=room.tenant_id, limit=1, cursor=cursor))
    assert (refusal.code, refusal.field) == (ErrorCode.INVALID, "cursor")


async def test_the_list_is_filtered_by_name_labels_state_and_kind(room: Room) -> None:
    shop = await room.create(name="Shop 100%_a", labels={"team": "web", "env": "live"})
    blog = await room.create(name="Blog", labels={"team": "web"})
    await hold(room, blog.id, StateStatus.DOWN)
    assert await ids(room, name="SHOP") == [shop.id]
    assert await ids(room, name="0%_A") == [shop.id]
    assert await ids(room, name="%") == [shop.id]
    assert await ids(room, name="op_1") == []
    assert await ids(room, labels={"team": "web"}) == [blog.id, shop.id]
    assert await ids(room, labels={"team": "web", "env": "live"}) == [shop.id]
    assert await ids(room, labels={"env": "test"}) == []
    assert await ids(room, state=StateStatus.DOWN) == [blog.id]
    assert await ids(room, state=StateStatus.PENDING, name="shop", labels={"team": "web"}, kind="http") == [shop.id]
    assert await ids(room, kind="ping") == []


async def test_views_show_the_newest_result_of_all_locations(room: Room) -> None:
    view = await room.create(locations=["a", "b"])
    for location, minute in (("a", 1), ("b", 2), ("a", 0)):
        room.clock.move(minutes=minute)
        await room.add_result(view.id, room.clock.now, location=location)
    shown = (await room.get(view.id)).last_result
    assert shown is not None
    assert (shown.tick_at, shown.location, shown.samples) == (room.clock.now, "a", {"total_s": 0.1})
    assert (await listed(room)).items[0].last_result == shown


async def test_the_same_create_twice_makes_one_monitor(room: Room) -> None:
    same = CreateMonitor(tenant_id=room.tenant_id, draft=draft(), idempotency=Idempotency(key="k", fingerprint="f"))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(room.ask(same)) for _ in range(6)]
    first = tasks[0].result()
    assert all(task.result() == first for task in tasks)
    assert await ids(room) == [first.id]


async def test_an_idempotency_key_is_for_one_request_of_one_tenant(room: Room) -> None:
    def request(tenant_id: str, fingerprint: str) -> CreateMonitor:
        key = Idempotency(key="k", fingerprint=fingerprint)
        return CreateMonitor(tenant_id=tenant_id, draft=draft(), idempotency=key)

    await room.ask(request(room.tenant_id, "f"))
    assert (await room.refused(request(room.tenant_id, "g"))).code is ErrorCode.CONFLICT
    await room.ask(request(await room.add_tenant(), "g"))


async def test_a_create_that_was_refused_can_be_sent_again(room: Room) -> None:
    key = Idempotency(key="k", fingerprint="f")
    bad = CreateMonitor(tenant_id=room.tenant_id, draft=draft(timeout_s=90.0), idempotency=key)
    assert (await room.refused(bad)).field == "timeout_s"
    assert await room.ask(CreateMonitor(tenant_id=room.tenant_id, draft=draft(), idempotency=key))


async def test_text_that_cannot_be_stored_is_refused(room: Room) -> None:
    refusal = await room.refused(CreateMonitor(tenant_id=room.tenant_id, draft=draft(name="a\0b")))
    assert refusal.code is ErrorCode.INVALID
