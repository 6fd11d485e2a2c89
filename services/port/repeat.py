"""Says the last words again when a datagram may have been lost: one lost packet is no outage."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from libs.net.wire import Wire
from services.port.dialogue import Dialogue

# Of the time that is left: early enough for an answer to each.
_SHARES = (0.25, 0.5)


@contextmanager
def repeating(
    loop: asyncio.AbstractEventLoop, wire: Wire, dialogue: Dialogue, deadline: float, *, wanted: bool
) -> Iterator[None]:
    """Repeats, as long as it is entered, what the dialogue has said last if nothing was heard since."""
    left_s = deadline - time.monotonic()

    def again() -> None:
        if dialogue.unanswered and not dialogue.finished:
            wire.say(dialogue.last_said)

    timers = [loop.call_later(left_s * share, again) for share in _SHARES] if wanted else []
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()
