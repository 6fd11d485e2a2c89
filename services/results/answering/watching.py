"""Keeps schedules, folds, state and outbox in step with a monitor, inside the transaction that changes it."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from libs.bus import schedules, subjects
from libs.model.check import Check, Origin
from libs.model.ids import derived_id
from libs.model.interval import phase_s, shard
from libs.model.state import Event, EventType, StateStatus, Transition
from libs.store import outbox, watching
from libs.store.driver import Db
from libs.store.monitors import Monitor
from libs.store.watching import Schedule
from services.results.pipeline.digest import outgoing

PAUSED = "paused"


class Watching:
    """What follows from a monitor at `now`. `monitor` is its newest revision."""

    def __init__(self, db: Db, monitor: Monitor, shards: int, now: datetime) -> None:
        self._db, self._monitor, self._now = db, monitor, now
        self._shard = shard(monitor.id, shards)

    async def begin(self) -> None:
        """Starts a new monitor: a state, folds, schedules, and a first check at once."""
        monitor, reason = self._monitor, "" if self._monitor.enabled else PAUSED
        await watching.begin(self._db, monitor.id, monitor.locations, self._now, reason)
        await self._start(self._wanted())

    async def change(self, old: Monitor) -> None:
        """Goes over from the revision `old` to the present one."""
        monitor = self._monitor
        present = await watching.schedules(self._db, monitor.id)
        plan = difference(present, self._wanted())
        await watching.close_grids(self._db, monitor.id, plan.closed, old.revision, self._now)
        await watching.renew_schedules(self._db, monitor.id, plan.kept)
        await watching.end_schedules(self._db, monitor.id, plan.ended)
        await watching.put_schedules(self._db, monitor.id, plan.put, self._now)
        await watching.match_folds(self._db, monitor.id, monitor.locations, self._now)
        await watching.restart_confirmation(self._db, monitor.id)
        if old.enabled != monitor.enabled:
            await self._set_pending("" if monitor.enabled else PAUSED)
        await self._check_now([each.location for each in plan.put if each.location in plan.added])

    async def end(self, reason: str) -> None:
        """Stops ticking for good, and closes what is open."""
        present = await watching.schedules(self._db, self._monitor.id)
        await watching.end_schedules(self._db, self._monitor.id, [each.location for each in present])
        await self._set_pending(reason)

    def _wanted(self) -> list[Schedule]:
        """Returns the schedules that the monitor should have."""
        monitor = self._monitor
        places = monitor.locations if monitor.enabled else []
        return [
            Schedule(place, True, monitor.interval_s, phase_s(monitor.id, place, monitor.interval_s), self._shard)  # noqa: FBT003 - a row
            for place in places
        ]

    async def _start(self, wanted: Sequence[Schedule]) -> None:
        await watching.put_schedules(self._db, self._monitor.id, wanted, self._now)
        await self._check_now([each.location for each in wanted])

    async def _check_now(self, locations: Sequence[str]) -> None:
        checks = [schedules.due_now(self._check(location), self._shard) for location in locations]
        await outbox.add(self._db, [outgoing(message) for message in checks])

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

    async def _set_pending(self, reason: str) -> None:
        """Forgets what was confirmed, and tells alerting that an open incident is over."""
        old = await watching.state(self._db, self._monitor.id)
        incident_id = await watching.close_incident(self._db, self._monitor.id, self._now, reason)
        await watching.set_pending(self._db, self._monitor.id, self._now, reason)
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
        await watching.add_transition(self._db, transition)
        types = [EventType.TRANSITION] + ([EventType.INCIDENT_CLOSED] if incident_id else [])
        await outbox.add(self._db, [self._event(kind, transition) for kind in types])

    def _event(self, event_type: EventType, transition: Transition) -> outbox.Outgoing:
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
        return outbox.Outgoing(subject=subject, body=msgspec.json.encode(event), msg_id=event.id)


class Plan(msgspec.Struct, frozen=True):
    """How to go from the present schedules to those that are wanted; all but `put` are locations."""

    put: list[Schedule]  # made, or made to tick otherwise
    added: list[str]  # those of `put` that did not tick before
    kept: list[str]  # the same ticks, with a new revision
    ended: list[str]
    closed: list[str]  # whose present grid ends now


def difference(present: Sequence[Schedule], wanted: Sequence[Schedule]) -> Plan:
    """Returns what to do with each location."""
    active = {each.location: each for each in present if each.active}
    put = [each for each in wanted if active.get(each.location) != each]
    moved = [each.location for each in put if each.location in active]
    ended = sorted(active.keys() - {each.location for each in wanted})
    return Plan(
        put=put,
        added=[each.location for each in put if each.location not in active],
        kept=[each.location for each in wanted if active.get(each.location) == each],
        ended=ended,
        closed=sorted([*moved, *ended]),
    )
