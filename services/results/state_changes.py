"""What is told about changes of state: rows, incidents and events, with ids that follow from the facts."""

from collections.abc import Mapping, Sequence

import msgspec

from libs.bus import subjects
from libs.model.ids import derived_id
from libs.model.state import EventType, StateStatus, Transition
from libs.store.core import outbox
from libs.store.ingest.snapshots import MonitorSummary
from libs.store.ingest.state_changes import Incident, StateRow
from services.results.ingest.batch_state import StateChange

_encode = msgspec.json.Encoder().encode


class StateChangeRecorder:
    """Adds up the turns of a batch, oldest first, starting from the cards of their monitors."""

    def __init__(self, cards: Mapping[str, MonitorSummary]) -> None:
        self._monitors = cards
        self._open_incidents = {each.id: each.incident_id for each in cards.values()}
        self._states: dict[str, StateRow] = {}
        self._opened_incidents: dict[str, Incident] = {}
        self.closed_incidents: list[Incident] = []  # incidents of earlier batches
        self.transitions: list[Transition] = []
        self.events: list[outbox.OutboxMessage] = []

    @property
    def states(self) -> Sequence[StateRow]:
        return list(self._states.values())

    @property
    def opened_incidents(self) -> Sequence[Incident]:
        return list(self._opened_incidents.values())

    def add(self, turn: StateChange) -> None:
        card = self._monitors[turn.monitor_id]
        before = self._states.get(turn.monitor_id)
        at = max(turn.at, card.since_at if before is None else before.since_at)
        turn = msgspec.structs.replace(turn, at=at)
        opened, closed = self._update_incident(turn)
        transition = Transition(
            id=derived_id("transition", turn.cause, turn.new),
            monitor_id=turn.monitor_id,
            at=at,
            old=turn.old,
            new=turn.new,
            reason=turn.reason,
            incident_id=opened or closed,
        )
        self.transitions.append(transition)
        self._set_state(turn)
        self._add_event(card, EventType.TRANSITION, transition)
        if closed:
            self._add_event(card, EventType.INCIDENT_CLOSED, transition)
        if opened:
            self._add_event(card, EventType.INCIDENT_OPENED, transition)

    def _update_incident(self, turn: StateChange) -> tuple[str | None, str | None]:
        """Returns the ids of the incident that begins and of the one that ends."""
        present = self._open_incidents[turn.monitor_id]
        if turn.new is StateStatus.DOWN and present is None:
            identity = derived_id("incident", turn.cause)
            self._opened_incidents[identity] = Incident(
                id=identity, monitor_id=turn.monitor_id, opened_at=turn.at, reason=turn.reason
            )
            self._open_incidents[turn.monitor_id] = identity
            return identity, None
        if turn.new is not StateStatus.DOWN and present is not None:
            self._close_incident(present, turn)
            self._open_incidents[turn.monitor_id] = None
            return None, present
        return None, None

    def _close_incident(self, identity: str, turn: StateChange) -> None:
        incident = self._opened_incidents.get(identity)
        if incident is None:
            incident = Incident(id=identity, monitor_id=turn.monitor_id, opened_at=turn.at, reason="")
            self.closed_incidents.append(incident)
        incident.closed_at, incident.close_reason = turn.at, turn.reason

    def _set_state(self, turn: StateChange) -> None:
        self._states[turn.monitor_id] = StateRow(
            monitor_id=turn.monitor_id,
            status=turn.new,
            since_at=turn.at,
            reason=turn.reason,
            incident_id=self._open_incidents[turn.monitor_id],
        )

    def _add_event(self, card: MonitorSummary, event_type: EventType, transition: Transition) -> None:
        event = card.to_event(derived_id("event", event_type, transition.id), event_type, transition)
        subject = subjects.event(card.tenant_id, card.kind, card.id)
        self.events.append(outbox.OutboxMessage(subject=subject, body=_encode(event), msg_id=event.id))
