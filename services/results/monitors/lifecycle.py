"""Lifecycle of a monitor: its schedules, confirmations, state and outbox, in the transaction that changes it."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from libs.bus import schedules
from libs.model.check import Check, Origin
from libs.model.ids import derived_id
from libs.model.interval import phase_s, shard
from libs.model.state import StateStatus
from libs.store.core import outbox
from libs.store.core.driver import Db
from libs.store.monitors import lifecycle
from libs.store.monitors.lifecycle import TickSchedule
from libs.store.monitors.monitors import MonitorRow
from services.results.ingest.state_changes import StateChange, record_state_changes
from services.results.outbox_publisher import outbox_message

PAUSED = "paused"


class MonitorLifecycle:
    """Effects of creating, changing or removing a monitor at `now`. `monitor` is the newest revision."""

    def __init__(self, db: Db, monitor: MonitorRow, shards: int, now: datetime) -> None:
        self._db, self._monitor, self._now = db, monitor, now
        self._shard = shard(monitor.id, shards)

    async def start(self) -> None:
        """Gives a new monitor a state, confirmations and schedules, and schedules a first check at once."""
        monitor, reason = self._monitor, "" if self._monitor.enabled else PAUSED
        await lifecycle.add_state(self._db, monitor.id, monitor.locations, self._now, reason)
        await self._start_schedules(self._wanted_schedules())

    async def change(self, old: MonitorRow) -> None:
        """Applies the differences between the revision `old` and the present one."""
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
        """Ends all schedules and closes the open incident."""
        present = await lifecycle.get_schedules_for_update(self._db, self._monitor.id)
        await lifecycle.deactivate_schedules(self._db, self._monitor.id, [each.location for each in present])
        await self._reset_state(reason)

    def _wanted_schedules(self) -> list[TickSchedule]:
        """Returns the schedules that the present revision requires."""
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
        """Resets state and confirmations to pending, and publishes the end of an open incident."""
        monitor_id, now = self._monitor.id, self._now
        old = await lifecycle.get_state_for_update(self._db, monitor_id)
        if old.status is not StateStatus.PENDING:
            change = StateChange(
                monitor_id=monitor_id,
                old=old.status,
                new=StateStatus.PENDING,
                at=now,
                reason=reason,
                cause=derived_id("command", monitor_id, str(self._monitor.revision), now.isoformat(), reason),
            )
            await record_state_changes(self._db, [change])
        await lifecycle.set_pending(self._db, monitor_id, max(now, old.since_at), reason)


class SchedulePlan(msgspec.Struct, frozen=True):
    """Difference between present and required schedules; all fields but `put` are locations."""

    put: list[TickSchedule]  # new or with another interval, phase or shard
    added: list[str]  # those of `put` without an active schedule
    kept: list[str]  # unchanged ticks, new revision
    ended: list[str]
    ended_grids: list[str]  # whose present grid of ticks ends now


def plan_schedules(present: Sequence[TickSchedule], wanted: Sequence[TickSchedule]) -> SchedulePlan:
    """Returns the changes that turn `present` into `wanted`."""
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
