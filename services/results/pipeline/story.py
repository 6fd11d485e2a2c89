"""What is told about changes of state: rows, incidents and events, with ids that follow from the facts."""

from collections.abc import Mapping, Sequence

import msgspec

from libs.bus import subjects
from libs.model.ids import derived_id
from libs.model.state import EventType, StateStatus, Transition
from libs.store import outbox
from libs.store.turns import Incident, StateRow
from libs.store.watched import Card
from services.results.pipeline.ledger import Turn

_encode = msgspec.json.Encoder().encode


class Story:
    """Adds up the turns of a batch, oldest first, starting from the cards of their monitors."""

    def __init__(self, cards: Mapping[str, Card]) -> None:
        self._cards = cards
        self._open = {each.id: each.incident_id for each in cards.values()}
        self._states: dict[str, StateRow] = {}
        self._opened: dict[str, Incident] = {}
        self.closed: list[Incident] = []  # incidents of earlier batches
        self.transitions: list[Transition] = []
        self.events: list[outbox.Outgoing] = []

    @property
    def states(self) -> Sequence[StateRow]:
        return list(self._states.values())

    @property
    def opened(self) -> Sequence[Incident]:
        return list(self._opened.values())

    def add(self, turn: Turn) -> None:
        card = self._cards[turn.monitor_id]
        before = self._states.get(turn.monitor_id)
        at = max(turn.at, card.since_at if before is None else before.since_at)
        turn = msgspec.structs.replace(turn, at=at)
        opened, closed = self._incidents(turn)
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
        self._tell(card, EventType.TRANSITION, transition)
        if closed:
            self._tell(card, EventType.INCIDENT_CLOSED, transition)
        if opened:
            self._tell(card, EventType.INCIDENT_OPENED, transition)

    def _incidents(self, turn: Turn) -> tuple[str | None, str | None]:
        """Returns the ids of the incident that begins and of the one that ends."""
        present = self._open[turn.monitor_id]
        if turn.new is StateStatus.DOWN and present is None:
            identity = derived_id("incident", turn.cause)
            self._opened[identity] = Incident(
                id=identity, monitor_id=turn.monitor_id, opened_at=turn.at, reason=turn.reason
            )
            self._open[turn.monitor_id] = identity
            return identity, None
        if turn.new is not StateStatus.DOWN and present is not None:
            self._close(present, turn)
            self._open[turn.monitor_id] = None
            return None, present
        return None, None

    def _close(self, identity: str, turn: Turn) -> None:
        incident = self._opened.get(identity)
        if incident is None:
            incident = Incident(id=identity, monitor_id=turn.monitor_id, opened_at=turn.at, reason="")
            self.closed.append(incident)
        incident.closed_at, incident.close_reason = turn.at, turn.reason

    def _set_state(self, turn: Turn) -> None:
        self._states[turn.monitor_id] = StateRow(
            monitor_id=turn.monitor_id,
            status=turn.new,
            since_at=turn.at,
            reason=turn.reason,
            incident_id=self._open[turn.monitor_id],
        )

    def _tell(self, card: Card, event_type: EventType, transition: Transition) -> None:
        event = card.event(derived_id("event", event_type, transition.id), event_type, transition)
        subject = subjects.event(card.tenant_id, card.kind, card.id)
        self.events.append(outbox.Outgoing(subject=subject, body=_encode(event), msg_id=event.id))
