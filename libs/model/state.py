"""State of a monitor after confirmation, its transitions and events."""

from datetime import datetime
from enum import StrEnum

import msgspec


class StateStatus(StrEnum):
    """The confirmed status of a monitor. `unknown` means looked at, without one verdict that can be trusted yet."""

    PENDING = "pending"
    UP = "up"
    DEGRADED = "degraded"
    DOWN = "down"
    UNKNOWN = "unknown"


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What a person is shown: the status, since when, and the reason of the result that moved it."""

    status: StateStatus
    since_at: datetime
    reason: str = ""
    flapping: bool = False


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """One confirmed change of a monitor's state. `id` is derived, so that telling it twice is telling it once."""

    id: str
    monitor_id: str
    at: datetime
    old: StateStatus
    new: StateStatus
    reason: str
    incident_id: str | None = None


class EventType(StrEnum):
    """What is published for alerting."""

    TRANSITION = "transition"
    INCIDENT_OPENED = "incident_opened"
    INCIDENT_CLOSED = "incident_closed"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One message on `events.<tenant>.<kind>.<monitor>`; its id is also its `Nats-Msg-Id`."""

    id: str
    type: EventType
    tenant_id: str
    monitor_id: str
    monitor_name: str
    kind: str
    target: str
    transition: Transition
