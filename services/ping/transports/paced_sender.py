"""Paced sending of one check's requests, and the wait for their replies. Driven by the pacer, without a task."""

import asyncio
import functools
from collections.abc import Callable

from libs.net.verdict import Verdict
from services.ping.echo_series import EchoRequest, EchoSeries, SendTiming
from services.ping.transports import socket_options
from services.ping.transports.base import SEND_QUEUE_FULL, SEND_RETRY_S, send_delay_s, send_error_verdict
from services.ping.transports.pacer import RELEASE_INTERVAL_S, TIMER_RESOLUTION_S, Pacer

SendRequest = Callable[[EchoSeries, EchoRequest], None]
# A request that is later than this is delayed by other series, or by a full send queue.
LATE_AFTER_S = 2 * RELEASE_INTERVAL_S


class PacedSender:
    """Sends one series. `run` once."""

    __slots__ = (
        "_deadline",
        "_done",
        "_due_at",
        "_loop",
        "_next_index",
        "_pace",
        "_send",
        "_send_failure",
        "_series",
        "_timer",
        "is_finished",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, series: EchoSeries, pace: SendTiming, deadline: float, send: SendRequest
    ) -> None:
        self.is_finished = False
        self._loop = loop
        self._series = series
        self._pace = pace
        self._deadline = deadline
        self._send = send
        self._next_index = 0
        self._due_at = loop.time()
        self._send_failure: Verdict | None = None
        self._done: asyncio.Future[None] = loop.create_future()
        series.on_settled = functools.partial(_set_done, self._done)

    async def run(self, pacer: Pacer) -> Verdict | None:
        """Sends all requests and waits until no reply can arrive in time.

        Returns the failure that kept some requests from being sent, or None.
        """
        pace, series = self._pace, self._series
        self._schedule_end(self._due_at + (len(series.requests) - 1) * pace.interval_s + pace.reply_timeout_s)
        try:
            pacer.start(self)
            await self._done
        finally:
            self.is_finished = True
            self._timer.cancel()
        return self._send_failure

    def send_next(self, now: float) -> float | None:
        """Sends the next request; returns when the next one, or a retry after a full send queue, is due."""
        series = self._series
        if now > self._due_at + LATE_AFTER_S and now > self._send_deadline:
            self._stop_sending(SEND_QUEUE_FULL)
            return None
        try:
            self._send(series, series.requests[self._next_index])
        except OSError as error:
            if socket_options.is_transient(error):
                return now + SEND_RETRY_S
            self._on_send_error(error)
            return None
        except Exception as error:  # noqa: BLE001  the loop would only log it, and the check would hang
            self._fail(error)
            return None
        self._next_index += 1
        left = len(series.requests) - self._next_index
        if not left:
            self._stop_sending(None)
            return None
        self._due_at = now + send_delay_s(self._pace, self._deadline, now, left)
        return self._due_at

    @property
    def _send_deadline(self) -> float:
        """The last instant at which a request still has half of its reply timeout."""
        return self._deadline - self._pace.reply_timeout_s / 2

    def _on_send_error(self, error: OSError) -> None:
        try:
            self._stop_sending(send_error_verdict(error, self._series))
        except OSError as unforeseen:
            self._fail(unforeseen)

    def _fail(self, error: Exception) -> None:
        self.is_finished = True
        if not self._done.done():
            self._done.set_exception(error)

    def _stop_sending(self, fault: Verdict | None) -> None:
        """Stops sending, and waits for the replies to the requests that were sent, if any."""
        self.is_finished, self._send_failure, self._due_at = True, fault, self._loop.time()
        if fault is not None and all(packet.sent_at is None for packet in self._series.requests):
            self._series.on_settled()

    def _schedule_end(self, until: float) -> None:
        self._timer = self._loop.call_at(min(until, self._deadline), self._on_timer)

    def _on_timer(self) -> None:
        """Ends the wait, unless the last request was sent later than planned."""
        until = self._due_at + self._pace.reply_timeout_s if self.is_finished else self._deadline
        if min(until, self._deadline) > self._loop.time() + TIMER_RESOLUTION_S:
            self._schedule_end(until)
            return
        if not self.is_finished:
            self._send_failure = SEND_QUEUE_FULL
        self._series.on_settled()


def _set_done(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)
