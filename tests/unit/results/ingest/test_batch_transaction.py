"""State changes of a batch with several results, locations and revisions."""

from datetime import UTC, datetime, timedelta

import msgspec

from libs.model.check import Origin, Result
from libs.model.confirmation import Confirmation
from libs.model.outcome import Status
from libs.model.state import Event, EventType, StateStatus
from libs.store.ingest.snapshots import MonitorSnapshot, MonitorSummary, TickGrid
from services.results.ingest.batch_transaction import BatchState
from services.results.ingest.state_changes import StateChangeRecorder

START = datetime(2026, 11, 21, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def snapshot(*locations: str, status: StateStatus = StateStatus.UP, **fields: object) -> MonitorSnapshot:
    places = list(locations or ("local",))
    confirmation = Confirmation(since_at=START, status=status, ticked_at=START, folded_at=START)
    plain: dict[str, object] = {
        "id": "m",
        "tenant_id": "t",
        "revision": 1,
        "locations": places,
        "enabled": True,
        "status": status,
        "flapping": False,
        "grids": {each: TickGrid(60, 0, START - MINUTE) for each in places},
        "confirmations": dict.fromkeys(places, confirmation),
    }
    return MonitorSnapshot(**plain | fields)  # type: ignore[arg-type]


def result(minute: int, status: Status, location: str = "local", **fields: object) -> Result:
    at = START + minute * MINUTE
    plain: dict[str, object] = {
        "monitor_id": "m",
        "tenant_id": "t",
        "location": location,
        "kind": "http",
        "revision": 1,
        "interval_s": 60,
        "origin": Origin.TICK,
        "tick_at": at,
        "started_at": at,
        "duration_s": 0.1,
        "status": status,
        "reason": f"{status}-{minute}",
    }
    return Result(**plain | fields)  # type: ignore[arg-type]


def batch_state(monitor: MonitorSnapshot, *results: Result) -> BatchState:
    state = BatchState({monitor.id: monitor})
    for each in results:
        state.add(each)
    return state


def recorder(state: BatchState, incident_id: str | None = None) -> StateChangeRecorder:
    summary = MonitorSummary(
        id="m", tenant_id="t", name="n", kind="http", target="x", since_at=START, incident_id=incident_id
    )
    recorded = StateChangeRecorder({"m": summary})
    for change in state.state_changes:
        recorded.add(change)
    return recorded


def event_types(recorded: StateChangeRecorder) -> list[EventType]:
    return [msgspec.json.decode(each.body, type=Event).type for each in recorded.events]


def test_one_of_three_locations_down_is_degraded_and_two_are_down() -> None:
    monitor = snapshot("a", "b", "c")
    one = [result(1, Status.DOWN, "a"), result(2, Status.DOWN, "a")]
    assert [change.new for change in batch_state(monitor, *one).state_changes] == ["degraded"]
    two = [*one, result(3, Status.DOWN, "b"), result(4, Status.DOWN, "b")]
    state = batch_state(monitor, *two)
    assert [change.new for change in state.state_changes] == ["degraded", "down"]
    assert event_types(recorder(state)) == ["transition", "transition", "incident_opened"]


def test_a_state_recovers_when_its_failing_location_was_removed() -> None:
    monitor = snapshot("a", status=StateStatus.DEGRADED)
    monitor.confirmations["a"] = Confirmation(since_at=START, status=StateStatus.UP)
    assert [change.new for change in batch_state(monitor, result(1, Status.UP, "a")).state_changes] == ["up"]


def test_an_incident_that_ends_in_its_own_batch_is_inserted_closed() -> None:
    statuses = [Status.DOWN, Status.DOWN, Status.UP, Status.DOWN, Status.DOWN]
    state = batch_state(snapshot(), *(result(minute, status) for minute, status in enumerate(statuses, 1)))
    recorded = recorder(state)
    first, second = recorded.opened_incidents
    assert (first.opened_at, first.closed_at) == (START + 2 * MINUTE, START + 3 * MINUTE)
    assert (second.opened_at, second.closed_at) == (START + 5 * MINUTE, None)
    assert not recorded.closed_incidents
    (row,) = recorded.states
    assert (row.status, row.incident_id) == ("down", second.id)


def test_an_open_incident_is_closed_by_the_recovery_that_names_it() -> None:
    monitor = snapshot(status=StateStatus.DOWN)
    recorded = recorder(batch_state(monitor, result(1, Status.UP)), "i")
    (closed,) = recorded.closed_incidents
    assert (closed.id, closed.close_reason) == ("i", "up-1")
    assert recorded.transitions[0].incident_id == "i"
    assert event_types(recorded) == ["transition", "incident_closed"]


def test_the_same_results_give_the_same_ids() -> None:
    results = [result(1, Status.DOWN), result(2, Status.DOWN)]
    one, other = (recorder(batch_state(snapshot(), *results)) for _ in range(2))
    assert [each.msg_id for each in one.events] == [each.msg_id for each in other.events]
    assert one.transitions == other.transitions


def test_a_result_of_an_old_revision_or_a_paused_monitor_updates_ticks_but_no_state() -> None:
    down = [result(1, Status.DOWN), result(2, Status.DOWN)]
    for monitor in (snapshot(revision=2), snapshot(enabled=False)):
        state = batch_state(monitor, *down)
        assert not state.state_changes
        assert not state.rechecks
        (update,) = state.confirmation_changes()
        assert update.after.ticked_at == START + 2 * MINUTE
        assert update.after.status is StateStatus.UP


def test_a_result_of_a_removed_location_changes_nothing() -> None:
    state = batch_state(snapshot("a"), result(1, Status.DOWN, "b"))
    assert not state.confirmation_changes()


def test_ticks_without_a_result_become_a_gap() -> None:
    state = batch_state(snapshot(), result(1, Status.UP), result(4, Status.UP), result(5, Status.UP))
    (gap,) = state.gaps
    assert (gap.after_at, gap.until_at) == (START + MINUTE, START + 4 * MINUTE)


def test_a_tick_of_another_grid_and_a_manual_check_leave_no_gap() -> None:
    other = [result(9, Status.UP, interval_s=300), result(10, Status.UP, origin=Origin.MANUAL)]
    state = batch_state(snapshot(), *other)
    assert not state.gaps
    assert state.confirmation_changes()[0].after.ticked_at == START


def test_no_gap_begins_before_its_grid() -> None:
    monitor = snapshot(grids={"local": TickGrid(60, 0, START + 10 * MINUTE)})
    assert not batch_state(monitor, result(11, Status.UP)).gaps
    assert batch_state(monitor, result(12, Status.UP)).gaps[0].after_at == START + 10 * MINUTE


def test_a_recheck_is_scheduled_unless_the_batch_holds_a_newer_result() -> None:
    first = batch_state(snapshot(), result(1, Status.DOWN))
    assert first.rechecks == {("m", "local"): START + MINUTE + timedelta(seconds=10.1)}
    answered = batch_state(snapshot(), result(1, Status.DOWN), result(2, Status.UP))
    assert not answered.rechecks


def test_flapping_is_reported_when_it_begins() -> None:
    statuses = [Status.UP, Status.DOWN] * 10
    state = batch_state(snapshot(), *(result(minute, status) for minute, status in enumerate(statuses, 1)))
    assert state.flapping() == {"m": True}
