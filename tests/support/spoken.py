"""Drives a conversation of kind port with bytes, without a wire: what the peer would say is given, what we say comes back."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

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
)

ASKS_MAX = 10_000


@dataclass
class Spoken:
    """How a conversation went. `ended` is None while it waits for more."""

    said: list[bytes] = field(default_factory=list)
    tls: int = 0
    ended: CloseSequence | ProtocolSessionError | None = None


def converse(talk: ProtocolGenerator, *peer: bytes | Callable[[list[bytes]], bytes]) -> Spoken:
    """Lets the conversation read the bytes of `peer` one after the other; a function makes them from what we have said."""
    spoken, waiting, buffer = Spoken(), list(peer), b""
    ask: ProtocolAction
    try:
        ask = next(talk)
        for _ in range(ASKS_MAX):
            piece: bytes | None = b""
            if isinstance(ask, Send):
                spoken.said.append(ask.data)
            elif isinstance(ask, StartTls):
                spoken.tls += 1
                buffer = b""
            else:
                piece, buffer = _heard(ask, buffer, waiting, spoken.said)
            if piece is None:
                return spoken
            ask = talk.send(piece)
    except StopIteration as end:
        spoken.ended = end.value
        return spoken
    except ProtocolSessionError as error:
        spoken.ended = error
        return spoken
    raise AssertionError("the conversation asks for ever")


def _heard(
    ask: ProtocolAction, buffer: bytes, waiting: list[bytes | Callable[[list[bytes]], bytes]], said: Sequence[bytes]
) -> tuple[bytes | None, bytes]:
    while (size := _size(ask, buffer)) is None:
        if not waiting:
            return None, buffer
        more = waiting.pop(0)
        buffer += more(list(said)) if callable(more) else more
    piece, rest = buffer[:size], buffer[size:]
    return (piece.removesuffix(b"\n").removesuffix(b"\r") if isinstance(ask, ReadLine) else piece), rest


def _size(ask: ProtocolAction, buffer: bytes) -> int | None:
    if isinstance(ask, ReadExactly):
        return ask.size if len(buffer) >= ask.size else None
    if isinstance(ask, ReadChunk):
        return len(buffer) or None
    end = buffer.find(b"\n")
    return None if end < 0 else end + 1


def call(**options: object) -> ProtocolContext:
    return ProtocolContext("host.example", 1, random=lambda size: b"r" * size, **options)  # type: ignore[arg-type]
