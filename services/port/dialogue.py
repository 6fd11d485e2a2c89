"""Holds one conversation on one wire: feeds it what comes, says what it says, and knows how it ended."""

import time
from collections.abc import Callable

from libs.net.tls import Session
from libs.net.wire import Wire
from services.port.conversation import (
    Ask,
    Call,
    ConversationError,
    Exactly,
    Goodbye,
    Line,
    Piece,
    Say,
    StartTls,
    Talk,
    TlsMissing,
    Unexpected,
)

# A few KiB are what a banner takes; the answer of a game server with its picture is the longest that anybody sends.
RECEIVED_BYTES_MAX = 128 * 1024
# Scripts and greetings pass over lines; each takes its moment of the loop.
LINES_MAX = 1000
# Long enough for a server far away to say its goodbye, too short to be waited for in vain.
GOODBYE_S = 1.0


class Dialogue:
    """The talk of one wire (libs.net.wire.Talk)."""

    def __init__(self, call: Call, talk: Talk, session: Callable[[], Session]) -> None:
        self.call = call
        self.wire: Wire | None = None
        self.error: ConversationError | None = None
        self.finished = False
        self.heard = False
        self.unanswered = False  # whether nothing was heard since the last words
        self.heard_at: float | None = None
        self.consent_at: float | None = None  # when the peer agreed to start TLS
        self.last_said = b""
        self._talk = talk
        self._session = session
        self._ask: Ask | None = None
        self._buffer = bytearray()
        self._received_bytes = 0
        self._lines = 0
        self._begun = False
        self._is_answered = False

    def opened(self) -> bytes:
        """Begins, or goes on inside TLS; returns what to say."""
        if self.wire is not None and not self._begun:
            self.call.own_address = self.wire.own_address
        piece = b"" if self._begun else None
        self._begun = True
        words = self._advance(piece)
        if self.finished or self.error is not None:
            self._hang_up()
        return words

    def received(self, data: bytes) -> bool:
        """Takes what came; True when all is said."""
        if self.heard_at is None:
            self.heard_at = time.monotonic()
        self.heard = True
        self.unanswered = False
        if self.finished:
            return True  # the answer to our goodbye
        self._received_bytes += len(data)
        self._buffer += data
        if self._received_bytes > RECEIVED_BYTES_MAX:
            self.error = Unexpected(f"The peer sent more than {RECEIVED_BYTES_MAX // 1024} KiB.")
            return True
        self._go_on()
        if self.finished:
            self._hang_up()
        return self.error is not None

    def _go_on(self) -> None:
        while self._ask is not None and self.error is None and not self.finished:
            piece = self._piece(self._ask)
            if piece is None:
                return
            said = self._advance(piece)
            if said and self.wire is not None:
                self.wire.say(said)
            if isinstance(self._ask, StartTls):
                self._start_tls()
                return

    def _start_tls(self) -> None:
        if self.wire is None:
            raise RuntimeError("a dialogue needs its wire")
        self._buffer.clear()
        self.consent_at = time.monotonic()
        self.wire.start_tls(self._session())

    def _advance(self, piece: bytes | None) -> bytes:
        """Takes the conversation on until it wants to hear something; returns what it says meanwhile."""
        said: list[bytes] = []
        try:
            ask = next(self._talk) if piece is None else self._talk.send(piece)
            while isinstance(ask, Say):
                said.append(ask.data)
                ask = self._talk.send(b"")
            self._ask = ask
        except StopIteration as end:
            said.append(self._part(end.value))
        except ConversationError as error:
            # Its traceback holds our frames, and those hold us.
            self.error = error.with_traceback(None)
        words = b"".join(said)
        if words:
            self.last_said, self.unanswered = words, True
        return words

    def _part(self, goodbye: Goodbye) -> bytes:
        self._ask = None
        if self.call.starttls == "require" and not self.call.over_tls and self._is_clear:
            self.error = TlsMissing("The conversation was over without going over to TLS")
            return b""
        self.finished = True
        self._is_answered = bool(goodbye.data) and goodbye.answered
        return goodbye.data

    @property
    def _is_clear(self) -> bool:
        return self.wire is not None and self.wire.session is None

    def _hang_up(self) -> None:
        if self.wire is None:
            return
        if self._is_answered:
            self.wire.hang_up(GOODBYE_S)
        else:
            self.wire.part(GOODBYE_S)

    def _piece(self, ask: Ask) -> bytes | None:
        """Returns what is asked for and cuts it off the buffer; None as long as it is not all there."""
        if isinstance(ask, Line):
            return self._line(ask)
        size = ask.size if isinstance(ask, Exactly) else len(self._buffer)
        if isinstance(ask, Piece) and not size:
            return None
        return None if len(self._buffer) < size else self._cut(size)

    def _cut(self, size: int) -> bytes:
        piece = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]  # of a bytearray that moves nothing
        return piece

    def _line(self, ask: Line) -> bytes | None:
        end = self._buffer.find(b"\n", 0, ask.bytes_max + 1)
        if end < 0 and len(self._buffer) <= ask.bytes_max:
            return None
        if end < 0:
            self.error = Unexpected(f"The peer sent a line of more than {ask.bytes_max} bytes.", bytes(self._buffer))
            return None
        self._lines += 1
        if self._lines > LINES_MAX:
            self.error = Unexpected(f"The peer sent more than {LINES_MAX} lines.")
            return None
        return self._cut(end + 1).removesuffix(b"\n").removesuffix(b"\r")
