"""Holds one conversation on one wire: feeds it what comes, says what it says, and knows how it ended."""

import time
from collections.abc import Callable

from libs.net.tls.sessions import TlsSession
from libs.net.wire import Wire
from services.port.protocol_api import (
    CloseSequence,
    ProtocolAction,
    ProtocolContext,
    ProtocolGenerator,
    ProtocolSessionError,
    ReadChunk,
    ReadExactly,
    ReadLine,
    Send,
    StartTls,
    TlsNotOffered,
    UnexpectedAnswer,
)

# A few KiB are what a banner takes; the answer of a game server with its picture is the longest that anybody sends.
RECEIVED_BYTES_MAX = 128 * 1024
# Scripts and greetings pass over lines; each takes its moment of the loop.
LINES_MAX = 1000
# Long enough for a server far away to say its goodbye, too short to be waited for in vain.
CLOSE_TIMEOUT_S = 1.0


class ProtocolSession:
    """The talk of one wire (libs.net.wire.Talk)."""

    def __init__(self, call: ProtocolContext, talk: ProtocolGenerator, session: Callable[[], TlsSession]) -> None:
        self.context = call
        self.wire: Wire | None = None
        self.error: ProtocolSessionError | None = None
        self.finished = False
        self.has_received = False
        self.awaiting_reply = False  # whether nothing was heard since the last words
        self.first_byte_at: float | None = None
        self.starttls_agreed_at: float | None = None  # when the peer agreed to start TLS
        self.last_sent = b""
        self._protocol = talk
        self._new_tls_session = session
        self._action: ProtocolAction | None = None
        self._buffer = bytearray()
        self._received_bytes = 0
        self._lines = 0
        self._started = False
        self._close_expects_reply = False

    def on_connected(self) -> bytes:
        """Begins, or goes on inside TLS; returns what to say."""
        if self.wire is not None and not self._started:
            self.context.local_address = self.wire.local_address
        piece = b"" if self._started else None
        self._started = True
        words = self._advance(piece)
        if self.finished or self.error is not None:
            self._close()
        return words

    def on_data(self, data: bytes) -> bool:
        """Takes what came; True when all is said."""
        if self.first_byte_at is None:
            self.first_byte_at = time.monotonic()
        self.has_received = True
        self.awaiting_reply = False
        if self.finished:
            return True  # the answer to our goodbye
        self._received_bytes += len(data)
        self._buffer += data
        if self._received_bytes > RECEIVED_BYTES_MAX:
            self.error = UnexpectedAnswer(f"The peer sent more than {RECEIVED_BYTES_MAX // 1024} KiB.")
            return True
        self._process_buffer()
        if self.finished:
            self._close()
        return self.error is not None

    def _process_buffer(self) -> None:
        while self._action is not None and self.error is None and not self.finished:
            piece = self._take(self._action)
            if piece is None:
                return
            said = self._advance(piece)
            if said and self.wire is not None:
                self.wire.send(said)
            if isinstance(self._action, StartTls):
                self._start_tls()
                return

    def _start_tls(self) -> None:
        if self.wire is None:
            raise RuntimeError("a dialogue needs its wire")
        self._buffer.clear()
        self.starttls_agreed_at = time.monotonic()
        self.wire.start_tls(self._new_tls_session())

    def _advance(self, piece: bytes | None) -> bytes:
        """Takes the conversation on until it wants to hear something; returns what it says meanwhile."""
        said: list[bytes] = []
        try:
            ask = next(self._protocol) if piece is None else self._protocol.send(piece)
            while isinstance(ask, Send):
                said.append(ask.data)
                ask = self._protocol.send(b"")
            self._action = ask
        except StopIteration as end:
            said.append(self._finish(end.value))
        except ProtocolSessionError as error:
            # Its traceback holds our frames, and those hold us.
            self.error = error.with_traceback(None)
        words = b"".join(said)
        if words:
            self.last_sent, self.awaiting_reply = words, True
        return words

    def _finish(self, goodbye: CloseSequence) -> bytes:
        self._action = None
        if self.context.starttls == "require" and not self.context.over_tls and self._is_plaintext:
            self.error = TlsNotOffered("The conversation was over without going over to TLS")
            return b""
        self.finished = True
        self._close_expects_reply = bool(goodbye.data) and goodbye.expects_reply
        return goodbye.data

    @property
    def _is_plaintext(self) -> bool:
        return self.wire is not None and self.wire.session is None

    def _close(self) -> None:
        if self.wire is None:
            return
        if self._close_expects_reply:
            self.wire.close(CLOSE_TIMEOUT_S)
        else:
            self.wire.close_gracefully(CLOSE_TIMEOUT_S)

    def _take(self, ask: ProtocolAction) -> bytes | None:
        """Returns what is asked for and cuts it off the buffer; None as long as it is not all there."""
        if isinstance(ask, ReadLine):
            return self._take_line(ask)
        size = ask.size if isinstance(ask, ReadExactly) else len(self._buffer)
        if isinstance(ask, ReadChunk) and not size:
            return None
        return None if len(self._buffer) < size else self._pop_bytes(size)

    def _pop_bytes(self, size: int) -> bytes:
        piece = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]  # of a bytearray that moves nothing
        return piece

    def _take_line(self, ask: ReadLine) -> bytes | None:
        end = self._buffer.find(b"\n", 0, ask.bytes_max + 1)
        if end < 0 and len(self._buffer) <= ask.bytes_max:
            return None
        if end < 0:
            self.error = UnexpectedAnswer(
                f"The peer sent a line of more than {ask.bytes_max} bytes.", bytes(self._buffer)
            )
            return None
        self._lines += 1
        if self._lines > LINES_MAX:
            self.error = UnexpectedAnswer(f"The peer sent more than {LINES_MAX} lines.")
            return None
        return self._pop_bytes(end + 1).removesuffix(b"\n").removesuffix(b"\r")
