"""Retransmission of unanswered datagrams, so that one lost packet does not count as an outage."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from libs.net.wire import Wire
from services.port.session import ProtocolSession

# Fractions of the remaining time: each leaves enough of it for a reply.
_RESEND_FRACTIONS = (0.25, 0.5)


@contextmanager
def retransmitting(
    loop: asyncio.AbstractEventLoop, wire: Wire, session: ProtocolSession, deadline: float, *, wanted: bool
) -> Iterator[None]:
    """While entered, sends the last datagram again if no reply has arrived since."""
    left_s = deadline - time.monotonic()

    def resend() -> None:
        if session.awaiting_reply and not session.finished:
            wire.send(session.last_sent)

    timers = [loop.call_later(left_s * share, resend) for share in _RESEND_FRACTIONS] if wanted else []
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()
