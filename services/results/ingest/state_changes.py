"""Recorder of state changes, used by batches of results and by commands: state, transition, incident and events."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from libs.bus import subjects
from libs.model.ids import derived_id
from libs.model.state import EventType, StateStatus, Transition
from libs.store.core import outbox
from libs.store.core.driver import Db
from libs.store.ingest import snapshots, state_changes
from libs.store.ingest.snapshots import MonitorSummary
from libs.store.ingest.state_changes import Incident, StateRow

_encode = msgspec.json.Encoder().encode


class StateChange(msgspec.Struct, frozen=True, kw_only=True):
    """One change of a monitor's state, aggregated over its locations."""

    monitor_id: str
    old: StateStatus
    new: StateStatus
    at: datetime
    reason: str
    cause: str  # id of the tick whose result confirmed it, or of the command; other ids are derived from it


async def record_state_changes(db: Db, changes: Sequence[StateChange]) -> None:
    """Writes what follows from `changes`, oldest first, inside the transaction of `db`; events go into the outbox.

    The caller holds AdvisoryLock.MONITOR_STATE.
    """
    if not changes:  # nearly every batch
        return
    monitors = await snapshots.load_summaries(db, sorted({change.monitor_id for change in changes}))
    recorder = StateChangeRecorder(monitors)
    for change in changes:
        recorder.add(change)
    await state_changes.set_states(db, recorder.states)
    await state_changes.close_incidents(db, recorder.closed_incidents)
    await state_changes.open_incidents(db, recorder.opened_incidents)
    await state_changes.add_transitions(db, recorder.transitions)
    await outbox.add(db, recorder.events)


class StateChangeRecorder:
    """Rows and events that follow from state changes, oldest first. Ids are derived, so that a repeat gives the same."""

    def __init__(self, monitors: Mapping[str, MonitorSummary]) -> None:
        self._monitors = monitors
        self._open_incidents = {each.id: each.incident_id for each in monitors.values()}
        self._states: dict[str, StateRow] = {}
        self._opened_incidents: dict[str, Incident] = {}
        self.closed_incidents: list[Incident] = []  # opened by earlier batches
        self.transitions: list[Transition] = []
        self.events: list[outbox.OutboxMessage] = []

    @property
    def states(self) -> Sequence[StateRow]:
        return list(self._states.values())

    @property
    def opened_incidents(self) -> Sequence[Incident]:
        return list(self._opened_incidents.values())

    def add(self, change: StateChange) -> None:
        monitor = self._monitors[change.monitor_id]
        before = self._states.get(change.monitor_id)
        at = max(change.at, monitor.since_at if before is None else before.since_at)
        change = msgspec.structs.replace(change, at=at)
        opened, closed = self._update_incident(change)
        transition = Transition(
            id=derived_id("transition", change.cause, change.new),
            monitor_id=change.monitor_id,
            at=at,
            old=change.old,
            new=change.new,
            reason=change.reason,
            incident_id=opened or closed,
        )
        self.transitions.append(transition)
        self._states[change.monitor_id] = StateRow(
            monitor_id=change.monitor_id,
            status=change.new,
            since_at=at,
            reason=change.reason,
            incident_id=self._open_incidents[change.monitor_id],
        )
        self._add_event(monitor, EventType.TRANSITION, transition)
        if closed:
            self._add_event(monitor, EventType.INCIDENT_CLOSED, transition)
        if opened:
            self._add_event(monitor, EventType.INCIDENT_OPENED, transition)

    def _update_incident(self, change: StateChange) -> tuple[str | None, str | None]:
        """Returns the id of the incident that opens and the id of the one that closes; at most one of them."""
        present = self._open_incidents[change.monitor_id]
        if change.new is StateStatus.DOWN and present is None:
            incident = Incident(
                id=derived_id("incident", change.cause),
                monitor_id=change.monitor_id,
                opened_at=change.at,
                reason=change.reason,
            )
            self._opened_incidents[incident.id] = incident
            self._open_incidents[change.monitor_id] = incident.id
            return incident.id, None
        if change.new is not StateStatus.DOWN and present is not None:
            self._close_incident(present, change)
            self._open_incidents[change.monitor_id] = None
            return None, present
        return None, None

    def _close_incident(self, incident_id: str, change: StateChange) -> None:
        incident = self._opened_incidents.get(incident_id)
        if incident is None:
            incident = Incident(id=incident_id, monitor_id=change.monitor_id, opened_at=change.at, reason="")
            self.closed_incidents.append(incident)
        incident.closed_at, incident.close_reason = change.at, change.reason

    def _add_event(self, monitor: MonitorSummary, event_type: EventType, transition: Transition) -> None:
        event = monitor.to_event(derived_id("event", event_type, transition.id), event_type, transition)
        subject = subjects.event(monitor.tenant_id, monitor.kind, monitor.id)
        self.events.append(outbox.OutboxMessage(subject=subject, body=_encode(event), msg_id=event.id))
