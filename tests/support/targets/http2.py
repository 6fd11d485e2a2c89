"""Servers that speak HTTP/2, from good to hostile."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, Event, RequestReceived, StreamEnded
from hpack import Encoder

from tests.support.targets.web import FOREVER_S, Handler, reset

Fields = Sequence[tuple[str, str]]

DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, END_HEADERS, PADDED = 1, 4, 8
OK = ((":status", "200"),)


def frame(kind: int, payload: bytes = b"", flags: int = 0, stream: int = 1) -> bytes:
    """Returns one frame (RFC 9113 section 4.1)."""
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


def head(fields: Fields = OK, flags: int = END_HEADERS) -> bytes:
    """Returns a HEADERS frame that depends on no other."""
    return frame(HEADERS, coded(fields), flags)


def coded(fields: Fields) -> bytes:
    encoder = Encoder()
    encoder.header_table_size = 0
    return bytes(encoder.encode(fields))


def data(body: bytes, flags: int = 0) -> bytes:
    return frame(DATA, body, flags)


def goaway(code: int, last_stream: int = 1) -> bytes:
    return frame(GOAWAY, last_stream.to_bytes(4) + code.to_bytes(4) + b"words", stream=0)


def rst(code: int) -> bytes:
    return frame(RST, code.to_bytes(4))


GREETING = frame(SETTINGS, stream=0)


class Exchange:
    """One connection, as the server sees it: its request, and the answer as it is given."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connection = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.fields: list[tuple[str, str]] = []
        self.body = b""
        self.is_asked = False
        self._reader, self._writer = reader, writer
        self.connection.initiate_connection()

    async def asked(self) -> None:
        """Waits for the request and its body."""
        while not self.is_asked:
            await self.listen()

    async def listen(self) -> None:
        self._writer.write(self.connection.data_to_send())
        heard = await self._reader.read(65536)
        if not heard:
            raise ConnectionError
        for event in self.connection.receive_data(heard):
            self._take(event)
        self._writer.write(self.connection.data_to_send())

    async def answer(self, fields: Fields, body: bytes, trailers: Fields = ()) -> None:
        """Answers as fast as the client takes it."""
        self.connection.send_headers(1, fields)
        while body:
            room = min(self.connection.local_flow_control_window(1), self.connection.max_outbound_frame_size)
            self.connection.send_data(1, body[:room])
            body = body[room:]
            if not room:
                await self.listen()
        if trailers:
            self.connection.send_headers(1, trailers, end_stream=True)
        else:
            self.connection.end_stream(1)
        self._writer.write(self.connection.data_to_send())
        await self._writer.drain()

    def _take(self, event: Event) -> None:
        if isinstance(event, RequestReceived):
            self.fields = [(str(name), str(value)) for name, value in event.headers]
        elif isinstance(event, DataReceived):
            self.body += event.data
            self.connection.acknowledge_received_data(event.flow_controlled_length, 1)
        elif isinstance(event, StreamEnded):
            self.is_asked = True


Answerer = Callable[[Exchange], Awaitable[None]]


def serves(answerer: Answerer) -> Handler:
    """Takes one request, answers it, and stays until the client leaves."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        exchange = Exchange(reader, writer)
        await exchange.asked()
        await answerer(exchange)
        while await reader.read(65536):
            pass

    return handler


def page(body: bytes = b"Hello, world", *more: tuple[str, str], status: str = "200", trailers: Fields = ()) -> Handler:
    """Answers every request alike."""

    async def answerer(exchange: Exchange) -> None:
        await exchange.answer([(":status", status), *more], body, trailers)

    return serves(answerer)


def raw(*pieces: bytes, greeting: bytes = GREETING, then: str = "stays") -> Handler:
    """Answers the request with these frames, and then "stays", "closes" or "resets"."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _request(reader)
        writer.write(greeting + b"".join(pieces))
        await writer.drain()
        if then == "stays":
            await asyncio.sleep(FOREVER_S)
        if then == "resets":
            await asyncio.sleep(0.05)  # an RST may overtake data that is not read yet
            reset(writer)

    return handler


def flood(piece: bytes, *start: bytes) -> Handler:
    """Answers with the start, and then repeats a piece as fast as it is taken."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _request(reader)
        writer.write(GREETING + b"".join(start))
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)  # uvloop drops what is written after the end of TLS, and never waits then

    return handler


async def _request(reader: asyncio.StreamReader) -> None:
    """Reads to the head of the request, which the client's settings stand before."""
    await reader.readexactly(24)
    kind = -1
    while kind != HEADERS:
        start = await reader.readexactly(9)
        kind = start[3]
        await reader.readexactly(int.from_bytes(start[:3]))
