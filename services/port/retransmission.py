"""Says the last words again when a datagram may have been lost: one lost packet is no outage."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from libs.net.wire import Wire
from services.port.session import ProtocolSession

# Of the time that is left: early enough for an answer to each.
_RESEND_FRACTIONS = (0.25, 0.5)


@contextmanager
def retransmitting(
    loop: asyncio.AbstractEventLoop, wire: Wire, dialogue: ProtocolSession, deadline: float, *, wanted: bool
) -> Iterator[None]:
    """Repeats, as long as it is entered, what the dialogue has said last if nothing was heard since."""
    left_s = deadline - time.monotonic()

    def again() -> None:
        if dialogue.awaiting_reply and not dialogue.finished:
            wire.send(dialogue.last_sent)

    timers = [loop.call_later(left_s * share, again) for share in _RESEND_FRACTIONS] if wanted else []
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()
