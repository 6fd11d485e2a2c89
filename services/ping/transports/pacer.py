"""Rate limit of sent packets: one queue for the process, which spreads bursts of many targets.

A timer and a task switch for each packet would cost more than the packet: one timer here releases all that are due.
"""

import asyncio
import heapq
import itertools
from typing import Protocol

RATE_PER_S = 20_000.0
BURST = 200
# Interval between the groups in which due packets are released.
RELEASE_INTERVAL_S = 0.004
# Event loops round timers to milliseconds.
TIMER_RESOLUTION_S = 0.001


class PacedSource(Protocol):
    """A source of packets."""

    is_finished: bool  # nothing more to send: the source is skipped

    def send_next(self, now: float) -> float | None:
        """Sends one packet; returns when the next one is due, by the loop's clock, or None if there is none."""
        ...


class Pacer:
    """Token bucket of packets: `rate_per_s` per second, `burst` at once.

    Packets that exceed it wait in the order of their due times.
    """

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
        self._sequence = itertools.count()  # first in, first out
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    def start(self, leaving: PacedSource) -> None:
        """Releases the first packet now or with the next group, and each later one when it is due."""
        now = self._loop.time()
        heapq.heappush(self._queue, (now, next(self._sequence), leaving))
        if now >= self._released_at + self._release_interval_s:
            self._release(now)
        else:
            self._schedule()

    def _release(self, now: float) -> None:
        """Releases all packets that are due, within the rate."""
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
        """Discards all waiting packets."""
        if self._timer is not None:
            self._timer.cancel()
        self._queue.clear()

    def _schedule(self) -> None:
        """Sets the timer for the next packet in the queue, at least one release interval after the last group."""
        at = max(self._queue[0][0], self._released_at + self._release_interval_s)
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer, self._timer_at = self._loop.call_at(at, self._on_timer), at

    def _on_timer(self) -> None:
        self._timer = None
        self._release(self._loop.time())
