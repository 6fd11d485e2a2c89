"""Servers of line protocols, from good to broken, and one way to probe them."""

import asyncio
import contextlib
import socket
import socketserver
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from libs.model.outcome import Outcome, Reason
from services.port.probe import PortProbe
from services.port.spec import PortSpec
from tests.support.targets.web import FOREVER_S, Handler


async def probed(
    port: int, *, timeout_s: float = 5.0, ca_file: Path | None = None, host: str = "127.0.0.1", **options: Any
) -> Outcome:
    """Returns what a new probe says; asks again when this machine was too busy to tell."""
    async with PortProbe(ca_file=ca_file) as probe:
        spec = PortSpec(host=host, port=port, **options)
        outcome = await probe(spec, timeout_s)
        for _ in range(4):
            if outcome.reason != Reason.LATE_LOOP:
                break
            outcome = await probe(spec, timeout_s)
        return outcome


@contextlib.contextmanager
def mail_server(context: ssl.SSLContext | None = None, heard: list[bytes] | None = None) -> Iterator[int]:
    """A mail server that goes over to TLS if it has a context, and writes down what it hears.

    It runs in threads on plain sockets: asyncio's streams leave a connection behind when TLS fails in its middle.
    """

    class Visit(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.settimeout(30)
            with contextlib.suppress(OSError):
                _serve_mail(self.request, context, [] if heard is None else heard)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Visit) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def _serve_mail(sock: socket.socket, context: ssl.SSLContext | None, heard: list[bytes]) -> None:
    offers = b"250-mail.example\r\n" + (b"250-STARTTLS\r\n" if context else b"") + b"250 HELP\r\n"
    answers = {b"EHLO": offers, b"STARTTLS": b"220 go\r\n", b"QUIT": b"221 bye\r\n"}
    sock.sendall(b"220 mail.example ESMTP\r\n")
    with contextlib.ExitStack() as stack:
        while line := sock.recv(4096):
            heard.append(line)
            word = line.split()[0].upper()
            sock.sendall(answers.get(word, b"500 no\r\n"))
            if word == b"QUIT":
                return
            if word == b"STARTTLS" and context is not None:
                sock = stack.enter_context(context.wrap_socket(sock, server_side=True))


def greets(greeting: bytes, then: Callable[[asyncio.StreamWriter], None] | None = None) -> Handler:
    """Says this, then does something or waits for the other to leave."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await writer.drain()
        if then is not None:
            await reader.read(1)
            then(writer)
            return
        await reader.read()

    return handler


async def hangs_up_at_once(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    del reader, writer
    await asyncio.sleep(FOREVER_S)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, answer: Callable[[bytes, int], list[bytes]]) -> None:
        self._answer = answer
        self._count = 0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._count += 1
        for answer in self._answer(data, self._count):
            self._transport.sendto(answer, addr)


@contextlib.asynccontextmanager
async def answering(answer: Callable[[bytes, int], list[bytes]]) -> AsyncIterator[int]:
    """Answers datagrams; the function gets each with its number, from 1."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(answer), ("127.0.0.1", 0))
    try:
        yield transport.get_extra_info("sockname")[1]
    finally:
        transport.close()
