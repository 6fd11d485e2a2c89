"""Keeps schedules, folds, state and outbox in step with a monitor, inside the transaction that changes it."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from libs.bus import schedules, subjects
from libs.model.check import Check, Origin
from libs.model.ids import derived_id
from libs.model.interval import phase_s, shard
from libs.model.state import Event, EventType, StateStatus, Transition
from libs.store.core import outbox
from libs.store.core.driver import Db
from libs.store.monitors import lifecycle
from libs.store.monitors.lifecycle import TickSchedule
from libs.store.monitors.monitors import MonitorRow
from services.results.ingest.stored_batch import outbox_message

PAUSED = "paused"


class MonitorLifecycle:
    """What follows from a monitor at `now`. `monitor` is its newest revision."""

    def __init__(self, db: Db, monitor: MonitorRow, shards: int, now: datetime) -> None:
        self._db, self._monitor, self._now = db, monitor, now
        self._shard = shard(monitor.id, shards)

    async def start(self) -> None:
        """Starts a new monitor: a state, folds, schedules, and a first check at once."""
        monitor, reason = self._monitor, "" if self._monitor.enabled else PAUSED
        await lifecycle.add_state(self._db, monitor.id, monitor.locations, self._now, reason)
        await self._start_schedules(self._wanted_schedules())

    async def change(self, old: MonitorRow) -> None:
        """Goes over from the revision `old` to the present one."""
        monitor = self._monitor
        present = await lifecycle.get_schedules_for_update(self._db, monitor.id)
        plan = plan_schedules(present, self._wanted_schedules())
        await lifecycle.add_gaps(self._db, monitor.id, plan.ended_grids, old.revision, self._now)
        await lifecycle.raise_schedule_versions(self._db, monitor.id, plan.kept)
        await lifecycle.deactivate_schedules(self._db, monitor.id, plan.ended)
        await lifecycle.upsert_schedules(self._db, monitor.id, plan.put, self._now)
        await lifecycle.match_confirmations(self._db, monitor.id, monitor.locations, self._now)
        await lifecycle.reset_runs(self._db, monitor.id)
        if old.enabled != monitor.enabled:
            await self._reset_state("" if monitor.enabled else PAUSED)
        await self._check_now([each.location for each in plan.put if each.location in plan.added])

    async def stop(self, reason: str) -> None:
        """Stops ticking for good, and closes what is open."""
        present = await lifecycle.get_schedules_for_update(self._db, self._monitor.id)
        await lifecycle.deactivate_schedules(self._db, self._monitor.id, [each.location for each in present])
        await self._reset_state(reason)

    def _wanted_schedules(self) -> list[TickSchedule]:
        """Returns the schedules that the monitor should have."""
        monitor = self._monitor
        places = monitor.locations if monitor.enabled else []
        return [
            TickSchedule(place, True, monitor.interval_s, phase_s(monitor.id, place, monitor.interval_s), self._shard)  # noqa: FBT003 - a row
            for place in places
        ]

    async def _start_schedules(self, wanted: Sequence[TickSchedule]) -> None:
        await lifecycle.upsert_schedules(self._db, self._monitor.id, wanted, self._now)
        await self._check_now([each.location for each in wanted])

    async def _check_now(self, locations: Sequence[str]) -> None:
        checks = [schedules.immediate_check(self._check(location), self._shard) for location in locations]
        await outbox.add(self._db, [outbox_message(message) for message in checks])

    def _check(self, location: str) -> Check:
        monitor = self._monitor
        return Check(
            monitor_id=monitor.id,
            tenant_id=monitor.tenant_id,
            location=location,
            kind=monitor.kind,
            revision=monitor.revision,
            interval_s=monitor.interval_s,
            timeout_s=monitor.timeout_s,
            spec=monitor.spec,
            origin=Origin.MANUAL,
            tick_at=self._now,
        )

    async def _reset_state(self, reason: str) -> None:
        """Forgets what was confirmed, and tells alerting that an open incident is over."""
        old = await lifecycle.get_state_for_update(self._db, self._monitor.id)
        incident_id = await lifecycle.close_incident(self._db, self._monitor.id, self._now, reason)
        await lifecycle.set_pending(self._db, self._monitor.id, self._now, reason)
        if old.status is StateStatus.PENDING:
            return
        transition = Transition(
            id=derived_id("transition", self._monitor.id, self._now.isoformat(), reason),
            monitor_id=self._monitor.id,
            at=self._now,
            old=old.status,
            new=StateStatus.PENDING,
            reason=reason,
            incident_id=incident_id,
        )
        await lifecycle.add_transition(self._db, transition)
        types = [EventType.TRANSITION] + ([EventType.INCIDENT_CLOSED] if incident_id else [])
        await outbox.add(self._db, [self._event(kind, transition) for kind in types])

    def _event(self, event_type: EventType, transition: Transition) -> outbox.OutboxMessage:
        monitor = self._monitor
        event = Event(
            id=derived_id("event", event_type, transition.id),
            type=event_type,
            tenant_id=monitor.tenant_id,
            monitor_id=monitor.id,
            monitor_name=monitor.name,
            kind=monitor.kind,
            target=monitor.target,
            transition=transition,
        )
        subject = subjects.event(monitor.tenant_id, monitor.kind, monitor.id)
        return outbox.OutboxMessage(subject=subject, body=msgspec.json.encode(event), msg_id=event.id)


class SchedulePlan(msgspec.Struct, frozen=True):
    """How to go from the present schedules to those that are wanted; all but `put` are locations."""

    put: list[TickSchedule]  # made, or made to tick otherwise
    added: list[str]  # those of `put` that did not tick before
    kept: list[str]  # the same ticks, with a new revision
    ended: list[str]
    ended_grids: list[str]  # whose present grid ends now


def plan_schedules(present: Sequence[TickSchedule], wanted: Sequence[TickSchedule]) -> SchedulePlan:
    """Returns what to do with each location."""
    active = {each.location: each for each in present if each.active}
    put = [each for each in wanted if active.get(each.location) != each]
    moved = [each.location for each in put if each.location in active]
    ended = sorted(active.keys() - {each.location for each in wanted})
    return SchedulePlan(
        put=put,
        added=[each.location for each in put if each.location not in active],
        kept=[each.location for each in wanted if active.get(each.location) == each],
        ended=ended,
        ended_grids=sorted([*moved, *ended]),
    )
