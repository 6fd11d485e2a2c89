"""Stall meter of the event loop: a timeout during a stall proves nothing about the target."""

import asyncio
import time
from types import TracebackType
from typing import Self

from libs.model.outcome import Reason, Status
from libs.net.verdict import Verdict

TOO_BUSY = Verdict(Status.UNKNOWN, Reason.LATE_LOOP, "This prober was too busy for the timeout to be conclusive.")

# A longer stall than this fraction of the timeout, and than these seconds, makes a timeout inconclusive.
_STALL_FRACTION_MAX = 0.1
_STALL_S_MIN = 0.2

TIMER_INTERVAL_S = 0.1
# Delays up to this are normal for a busy loop.
TOLERANCE_S = 0.05


class StallMeter:
    """Accumulates the seconds by which a periodic timer of the event loop fired late."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due_at = 0.0
        self._stalled_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        self._schedule()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()

    @property
    def stalled_s(self) -> float:
        """Returns the seconds lost since the start, including a stall in progress."""
        return self._stalled_s + self._late_s()

    def invalidates_timeout(self, timeout_s: float, since_s: float) -> bool:
        """Returns whether a timeout is inconclusive: since `stalled_s` was `since_s` the loop stalled too long."""
        return self.stalled_s - since_s > max(timeout_s * _STALL_FRACTION_MAX, _STALL_S_MIN)

    def _late_s(self) -> float:
        late_s = time.monotonic() - self._due_at
        return late_s if late_s > TOLERANCE_S else 0.0

    def _on_timer(self) -> None:
        self._stalled_s += self._late_s()
        self._schedule()

    def _schedule(self) -> None:
        self._due_at = time.monotonic() + TIMER_INTERVAL_S
        self._timer = self._loop.call_later(TIMER_INTERVAL_S, self._on_timer)
