"""The packets of one check, leaving at their pace, and the wait for what becomes of them. No task: the pacer calls."""

import asyncio
from collections.abc import Callable

from libs.net.fault import Fault
from services.ping import sockets
from services.ping.flight import Flight, Pace, Packet
from services.ping.pacing import Pacer
from services.ping.way import QUEUE_FULL, RETRY_S, fault_of, wait_s

Send = Callable[[Flight, Packet], None]


class Departure:
    """One flight under way. `run` once."""

    __slots__ = ("_deadline", "_done", "_fault", "_flight", "_loop", "_pace", "_pacer", "_place", "_send", "_timer", "over")

    def __init__(self, loop: asyncio.AbstractEventLoop, pacer: Pacer, flight: Flight, pace: Pace, deadline: float) -> None:
        self.over = False
        self._loop = loop
        self._pacer = pacer
        self._flight = flight
        self._pace = pace
        self._deadline = deadline
        self._place = 0
        self._fault: Fault | None = None
        self._done: asyncio.Future[None] = loop.create_future()
        flight.on_settled = _waking(self._done)

    async def run(self, send: Send) -> Fault | None:
        """Sends all packets and waits until nothing more can come in time; returns what kept some from leaving."""
        self._send = send
        # As long as a packet that leaves then still has some time to come back.
        self._timer = self._loop.call_at(self._deadline - self._pace.patience_s / 2, self._hurry)
        try:
            self._pacer.start(self)
            await self._done
        finally:
            self.over = True
            self._timer.cancel()
        return self._fault

    def leave(self, now: float) -> float | None:
        """Sends the next packet, or tries it again a moment later when a queue of this machine is full."""
        flight = self._flight
        try:
            self._send(flight, flight.packets[self._place])
        except OSError as error:
            if sockets.is_transient(error):
                return now + RETRY_S
            self._fail(error)
            return None
        except Exception as error:  # noqa: BLE001  the loop would only log it, and the check would hang
            self._give_up(error)
            return None
        self._place += 1
        if self._place == len(flight.packets):
            self._await_last()
            return None
        return now + wait_s(self._pace, self._deadline, now, len(flight.packets) - self._place)

    def _hurry(self) -> None:
        """Ends the sending: what was held back until now is not sent any more."""
        self._pacer.release()  # a loop that stood still has let nobody go
        if not self.over:
            self._fault = QUEUE_FULL
            self._await_last()

    def _fail(self, error: OSError) -> None:
        try:
            self._fault = fault_of(error, self._flight)
        except OSError as unforeseen:
            self._give_up(unforeseen)
        else:
            self._await_last()

    def _give_up(self, error: Exception) -> None:
        self.over = True
        if not self._done.done():
            self._done.set_exception(error)

    def _await_last(self) -> None:
        """Sends no more: waits for the replies to what has left, if anything has."""
        self.over = True
        self._timer.cancel()
        wake = self._flight.on_settled
        if all(packet.sent is None for packet in self._flight.packets):
            wake()
            return
        self._timer = self._loop.call_at(min(self._loop.time() + self._pace.patience_s, self._deadline), wake)


def _waking(done: asyncio.Future[None]) -> Callable[[], None]:
    def wake() -> None:
        if not done.done():
            done.set_result(None)

    return wake
