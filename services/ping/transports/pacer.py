"""When packets leave: one line for the whole process, so that many targets at once become a stream.

A timer and a task switch for each packet would cost more than the packet: here one timer lets all go that are due.
"""

import asyncio
import heapq
import itertools
from typing import Protocol

RATE_PER_S = 20_000.0
BURST = 200
# Those who are due are let go in small groups, so far apart.
RELEASE_INTERVAL_S = 0.004
# Loops round the instants of their timers to milliseconds.
TIMER_RESOLUTION_S = 0.001


class PacedSource(Protocol):
    """Whoever has packets to send."""

    is_finished: bool  # when nothing more is to be sent: a turn is not taken then

    def send_next(self, now: float) -> float | None:
        """Sends one packet; returns when the next one is due, by the loop's clock, None if there is none."""
        ...


class Pacer:
    """Lets `rate_per_s` packets go each second, `burst` of them at once; the others wait in the order of their instants."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        rate_per_s: float = RATE_PER_S,
        burst: int = BURST,
        step_s: float = RELEASE_INTERVAL_S,
    ) -> None:
        self._loop = loop
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._release_interval_s = step_s
        self._tokens = float(burst)
        self._released_at = loop.time() - step_s
        self._queue: list[tuple[float, int, PacedSource]] = []
        self._sequence = itertools.count()  # who came first goes first
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    def start(self, leaving: PacedSource) -> None:
        """Lets the first packet go now, or with the next group, and each that follows when it is due."""
        now = self._loop.time()
        heapq.heappush(self._queue, (now, next(self._sequence), leaving))
        if now >= self._released_at + self._release_interval_s:
            self._release(now)
        else:
            self._schedule()

    def _release(self, now: float) -> None:
        """Lets all go that are due, as far as the rate allows it."""
        line = self._queue
        self._tokens = min(self._burst, self._tokens + (now - self._released_at) * self._rate_per_s)
        self._released_at = now
        while line and line[0][0] <= now + TIMER_RESOLUTION_S and self._tokens >= 1:
            _, _, leaving = heapq.heappop(line)
            if leaving.is_finished:
                continue
            self._tokens -= 1
            due_at = leaving.send_next(now)
            if due_at is not None:
                heapq.heappush(line, (due_at, next(self._sequence), leaving))
        if line:
            self._schedule()

    def close(self) -> None:
        """Lets nobody go any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._queue.clear()

    def _schedule(self) -> None:
        """Sees to it that the next one in the line is let go, but not before a step has passed."""
        at = max(self._queue[0][0], self._released_at + self._release_interval_s)
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer, self._timer_at = self._loop.call_at(at, self._on_timer), at

    def _on_timer(self) -> None:
        self._timer = None
        self._release(self._loop.time())
