"""Confirmation state of one monitor at one location."""

from datetime import datetime

import msgspec

from libs.model.state import StateStatus


class Confirmation(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table confirmations, without its key.

    A run counts the latest consecutive results of one status, up to 9. Bit n of `changes` is set if the status changed
    n results ago, not counting `unknown` and `missed`; `last_class` is the status of the latest such result, or empty.
    """

    since_at: datetime
    status: StateStatus = StateStatus.PENDING
    reason: str = ""
    down_run: int = 0
    bad_run: int = 0
    up_run: int = 0
    changes: int = 0
    flapping: bool = False
    last_class: str = ""
    folded_at: datetime | None = None
    ticked_at: datetime | None = None
    last_tick_at: datetime | None = None


class LocationStateChange(msgspec.Struct, frozen=True, kw_only=True):
    """Confirmed change of state at one location."""

    old: StateStatus
    new: StateStatus
    at: datetime
    reason: str
