"""Runs one protocol generator on one connection."""

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

# A banner takes a few KiB; the longest answer is that of a game server with its icon.
RECEIVED_BYTES_MAX = 128 * 1024
# Scripts and greetings skip lines, each of which takes time of the event loop.
LINES_MAX = 1000
# Enough for the reply of a distant server, and a short delay where there is none.
CLOSE_TIMEOUT_S = 1.0


class ProtocolSession:
    """The exchange of one wire (libs.net.exchange.Exchange): executes the actions of a protocol."""

    def __init__(self, context: ProtocolContext, talk: ProtocolGenerator, session: Callable[[], TlsSession]) -> None:
        self.context = context
        self.wire: Wire | None = None
        self.error: ProtocolSessionError | None = None
        self.finished = False
        self.has_received = False
        self.awaiting_reply = False  # whether no data has arrived since `last_sent`
        self.first_byte_at: float | None = None
        self.starttls_agreed_at: float | None = None  # when the peer accepted STARTTLS
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
        """Starts the protocol, or resumes it inside TLS; returns the bytes to send."""
        if self.wire is not None and not self._started:
            self.context.local_address = self.wire.local_address
        chunk = b"" if self._started else None
        self._started = True
        data_to_send = self._advance(chunk)
        if self.finished or self.error is not None:
            self._close()
        return data_to_send

    def on_data(self, data: bytes) -> bool:
        """Buffers received bytes and resumes the protocol; True when the session is complete."""
        if self.first_byte_at is None:
            self.first_byte_at = time.monotonic()
        self.has_received = True
        self.awaiting_reply = False
        if self.finished:
            return True  # the reply to the close sequence
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
            chunk = self._take(self._action)
            if chunk is None:
                return
            sent = self._advance(chunk)
            if sent and self.wire is not None:
                self.wire.send(sent)
            if isinstance(self._action, StartTls):
                self._start_tls()
                return

    def _start_tls(self) -> None:
        if self.wire is None:
            raise RuntimeError("a session needs its wire")
        self._buffer.clear()
        self.starttls_agreed_at = time.monotonic()
        self.wire.start_tls(self._new_tls_session())

    def _advance(self, chunk: bytes | None) -> bytes:
        """Resumes the protocol until it waits for input; returns the bytes to send."""
        sent: list[bytes] = []
        try:
            action = next(self._protocol) if chunk is None else self._protocol.send(chunk)
            while isinstance(action, Send):
                sent.append(action.data)
                action = self._protocol.send(b"")
            self._action = action
        except StopIteration as end:
            sent.append(self._finish(end.value))
        except ProtocolSessionError as error:
            # Its traceback refers to our frames, and those to self: a reference cycle.
            self.error = error.with_traceback(None)
        data_to_send = b"".join(sent)
        if data_to_send:
            self.last_sent, self.awaiting_reply = data_to_send, True
        return data_to_send

    def _finish(self, close: CloseSequence) -> bytes:
        self._action = None
        if self.context.starttls == "require" and not self.context.over_tls and self._is_plaintext:
            self.error = TlsNotOffered("The exchange ended without STARTTLS")
            return b""
        self.finished = True
        self._close_expects_reply = bool(close.data) and close.expects_reply
        return close.data

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

    def _take(self, action: ProtocolAction) -> bytes | None:
        """Removes the requested bytes from the buffer and returns them; None until all of them have arrived."""
        if isinstance(action, ReadLine):
            return self._take_line(action)
        size = action.size if isinstance(action, ReadExactly) else len(self._buffer)
        if isinstance(action, ReadChunk) and not size:
            return None
        return None if len(self._buffer) < size else self._pop_bytes(size)

    def _pop_bytes(self, size: int) -> bytes:
        chunk = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]  # on a bytearray this moves no bytes
        return chunk

    def _take_line(self, action: ReadLine) -> bytes | None:
        end = self._buffer.find(b"\n", 0, action.bytes_max + 1)
        if end < 0 and len(self._buffer) <= action.bytes_max:
            return None
        if end < 0:
            self.error = UnexpectedAnswer(
                f"The peer sent a line of more than {action.bytes_max} bytes.", bytes(self._buffer)
            )
            return None
        self._lines += 1
        if self._lines > LINES_MAX:
            self.error = UnexpectedAnswer(f"The peer sent more than {LINES_MAX} lines.")
            return None
        return self._pop_bytes(end + 1).removesuffix(b"\n").removesuffix(b"\r")
