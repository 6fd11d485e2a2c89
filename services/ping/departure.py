"""The packets of one check, leaving at their pace, and the wait for what becomes of them. No task: the pacer calls."""

import asyncio
import functools
from collections.abc import Callable

from libs.net.fault import Fault
from services.ping import sockets
from services.ping.flight import Flight, Pace, Packet
from services.ping.pacing import ROUNDED_S, STEP_S, Pacer
from services.ping.way import QUEUE_FULL, RETRY_S, fault_of, wait_s

Send = Callable[[Flight, Packet], None]
# Who waits longer than that for his turn is held back by others, or by a queue that is full.
HELD_S = 2 * STEP_S


class Departure:
    """One flight under way. `run` once."""

    __slots__ = (
        "_deadline",
        "_done",
        "_due_at",
        "_fault",
        "_flight",
        "_loop",
        "_pace",
        "_place",
        "_send",
        "_timer",
        "over",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, flight: Flight, pace: Pace, deadline: float, send: Send
    ) -> None:
        self.over = False
        self._loop = loop
        self._flight = flight
        self._pace = pace
        self._deadline = deadline
        self._send = send
        self._place = 0
        self._due_at = loop.time()
        self._fault: Fault | None = None
        self._done: asyncio.Future[None] = loop.create_future()
        flight.on_settled = functools.partial(_wake, self._done)

    async def run(self, pacer: Pacer) -> Fault | None:
        """Sends all packets and waits until nothing more can come in time; returns what kept some from leaving."""
        pace, flight = self._pace, self._flight
        self._end_at(self._due_at + (len(flight.packets) - 1) * pace.interval_s + pace.patience_s)
        try:
            pacer.start(self)
            await self._done
        finally:
            self.over = True
            self._timer.cancel()
        return self._fault

    def leave(self, now: float) -> float | None:
        """Sends the next packet; it is due again a moment later when a queue of this machine is full."""
        flight = self._flight
        if now > self._due_at + HELD_S and now > self._leave_by:
            self._stop(QUEUE_FULL)
            return None
        try:
            self._send(flight, flight.packets[self._place])
        except OSError as error:
            if sockets.is_transient(error):
                return now + RETRY_S
            self._failed(error)
            return None
        except Exception as error:  # noqa: BLE001  the loop would only log it, and the check would hang
            self._give_up(error)
            return None
        self._place += 1
        left = len(flight.packets) - self._place
        if not left:
            self._stop(None)
            return None
        self._due_at = now + wait_s(self._pace, self._deadline, now, left)
        return self._due_at

    @property
    def _leave_by(self) -> float:
        """Until when a packet that leaves still has some time to come back."""
        return self._deadline - self._pace.patience_s / 2

    def _failed(self, error: OSError) -> None:
        try:
            self._stop(fault_of(error, self._flight))
        except OSError as unforeseen:
            self._give_up(unforeseen)

    def _give_up(self, error: Exception) -> None:
        self.over = True
        if not self._done.done():
            self._done.set_exception(error)

    def _stop(self, fault: Fault | None) -> None:
        """Sends no more, and waits for the replies to what has left, if anything has."""
        self.over, self._fault, self._due_at = True, fault, self._loop.time()
        if fault is not None and all(packet.sent is None for packet in self._flight.packets):
            self._flight.on_settled()

    def _end_at(self, until: float) -> None:
        self._timer = self._loop.call_at(min(until, self._deadline), self._end)

    def _end(self) -> None:
        """Ends the wait, unless the last packet left later than it was meant to."""
        until = self._due_at + self._pace.patience_s if self.over else self._deadline
        if min(until, self._deadline) > self._loop.time() + ROUNDED_S:
            self._end_at(until)
            return
        if not self.over:
            self._fault = QUEUE_FULL
        self._flight.on_settled()


def _wake(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)
