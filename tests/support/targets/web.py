"""Raw web servers, from good to hostile. Each is one coroutine that is handed a connection."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

FOREVER_S = 3600.0


@contextlib.asynccontextmanager
async def serving(
    handler: Handler, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[int]:
    """Serves, on a free port if none is given, until the end; connections that still hang then are cut."""
    async with asyncio.TaskGroup() as group:
        visits: set[asyncio.Task[None]] = set()

        def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = group.create_task(_one(handler, reader, writer))
            visits.add(task)
            task.add_done_callback(lambda _: writer.transport.abort())
            task.add_done_callback(visits.discard)

        server = await asyncio.start_server(met, host, port, ssl=tls, backlog=1024)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            await _breathe()  # connections that are being accepted become visits
            for visit in visits:
                visit.cancel()
    await _all_gone(server)


async def _breathe() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def _all_gone(server: asyncio.Server) -> None:
    """Waits until every connection is closed, those inside a handshake too; Server.wait_closed does so from 3.12."""
    for _ in range(1000):
        if not getattr(server, "_active_count", 0):
            return
        await asyncio.sleep(0.001)


async def _one(handler: Handler, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        await handler(reader, writer)
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@contextlib.contextmanager
def deaf_port() -> Iterator[int]:
    """A port whose queue of connections is full: the kernel drops every further attempt."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.settimeout(0)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


async def request_of(reader: asyncio.StreamReader) -> bytes:
    """Returns the head of the request, and its body as far as Content-Length says."""
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return head + await reader.readexactly(int(value))
    return head


def reset(writer: asyncio.StreamWriter) -> None:
    """Ends the connection with an RST instead of a FIN."""
    writer.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def says(answer: bytes) -> Handler:
    """Answers with these bytes and closes."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(answer)
        await writer.drain()

    return handler


def page(body: bytes = b"Hello, world", status: str = "200 OK", headers: str = "") -> bytes:
    """Returns one well-formed answer."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


def moved(location: str, status: str = "302 Found", headers: str = "") -> bytes:
    """Returns one redirect."""
    return page(b"over there", status, f"Location: {location}\r\n{headers}")


def routes(answers: dict[str, bytes], seen: list[bytes] | None = None) -> Handler:
    """Answers by path, and notes the requests."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await request_of(reader)
        if seen is not None:
            seen.append(request)
        path = request.split(b" ", 2)[1].decode()
        writer.write(answers.get(path, page(b"nothing here", "404 Not Found")))
        await writer.drain()

    return handler


def then_silence(start: bytes) -> Handler:
    """Says this much and hangs."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        writer.write(start)
        await writer.drain()
        await asyncio.sleep(FOREVER_S)

    return handler


def then_reset(start: bytes) -> Handler:
    """Waits for something, says this much and resets."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(start)
        await writer.drain()
        if start:
            await asyncio.sleep(0.05)  # an RST may overtake data that is not read yet
        reset(writer)

    return handler


def dripping(start: bytes, drop: bytes, pause_s: float = 0.01) -> Handler:
    """Says this much, and then a drop at a time without end."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(start)
        while True:
            writer.write(drop)
            await writer.drain()
            await asyncio.sleep(pause_s)

    return handler


def endless(start: bytes, piece: bytes) -> Handler:
    """Says this much, and then repeats a piece as fast as it is taken."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(start)
        while True:
            writer.write(piece)
            await writer.drain()

    return handler


async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Takes the request and closes in good order."""
    del writer
    await request_of(reader)


async def hangs_up_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Waits for the first bytes and closes in good order."""
    del writer
    await reader.read(65536)


def blurts(answer: bytes) -> Handler:
    """Answers whatever comes, as a server does that expected another protocol."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(answer)
        await writer.drain()

    return handler


def shakes_hands(context: ssl.SSLContext, answer: bytes = b"") -> Handler:
    """Does a TLS handshake and sends the alert if it fails, which asyncio's own server does not.

    Answers, if it has an answer, and hangs up without the goodbye of TLS.
    """

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = context.wrap_bio(incoming, outgoing, server_side=True)
        while data := await reader.read(65536):
            incoming.write(data)
            try:
                session.do_handshake()
                if answer and session.read(65536):
                    session.write(answer)
                    return
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                return
            finally:
                writer.write(outgoing.read())

    return handler


async def wants_cookie(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Sets a cookie and redirects to itself until the cookie comes back."""
    known = b"Cookie: sid=1\r\n" in await request_of(reader)
    writer.write(page() if known else moved("/", headers="Set-Cookie: sid=1; Path=/; HttpOnly\r\n"))
    await writer.drain()
