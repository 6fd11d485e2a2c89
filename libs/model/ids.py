"""Identifiers: random for objects that a client creates, derived where one fact may be seen twice."""

import os
import time
import uuid
from datetime import datetime

_NAMESPACE = uuid.UUID("6f0f6d0e-6f8f-5a54-9d0c-1f3f5b6f7a10")


def new_id() -> str:
    """Returns a UUIDv7 (RFC 9562 section 5.7): unguessable, and in order of creation when sorted."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds << 80) | int.from_bytes(os.urandom(10))
    value = value & ~(0xF << 76) | (0x7 << 76)
    value = value & ~(0x3 << 62) | (0x2 << 62)
    return str(uuid.UUID(int=value))


def derived_id(*parts: str) -> str:
    """Returns the same UUIDv5 for the same parts, so that a repeated fact keeps one identity."""
    return str(uuid.uuid5(_NAMESPACE, "\x1f".join(parts)))


def is_id(text: str) -> bool:
    """Tells whether `text` is an id in the one spelling that we print."""
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def tick_id(monitor_id: str, location: str, tick_at: datetime) -> str:
    """Returns the identity of one tick: the same for its check, its result and every redelivery of either."""
    return f"{monitor_id}/{location}/{tick_at.timestamp():.6f}"
