"""Notices when the event loop itself stood still, so that our slowness is not blamed on a target."""

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

BEAT_S = 0.1
NOTED_S = 0.1
REMEMBERED = 100


class Stalls:
    """A heartbeat on the loop; a beat that comes late is a stall."""

    def __init__(self) -> None:
        self._beat_at = time.monotonic()
        self._stalls: deque[tuple[float, float]] = deque(maxlen=REMEMBERED)  # (ended at, how long)
        self._next: asyncio.TimerHandle | None = None

    @contextmanager
    def watching(self) -> Iterator["Stalls"]:
        self._beat_at = time.monotonic()
        self._beat()
        try:
            yield self
        finally:
            if self._next is not None:
                self._next.cancel()

    def longest_since(self, instant: float) -> float:
        """Returns the longest stall that ended after `instant` (monotonic), or goes on, in seconds."""
        self._note()
        return max((length for ended_at, length in self._stalls if ended_at >= instant), default=0.0)

    def _beat(self) -> None:
        self._note()
        self._next = asyncio.get_running_loop().call_later(BEAT_S, self._beat)

    def _note(self) -> None:
        now = time.monotonic()
        late = now - self._beat_at - BEAT_S
        if late >= NOTED_S:
            self._stalls.append((now, late))
        self._beat_at = now
