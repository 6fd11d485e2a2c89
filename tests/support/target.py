"""A loopback web server that a test switches between its moods, and that counts who came."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from typing import cast

from tests.support.ports import free_port

_OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"
_FAILING = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno"


class Target:
    """One server on one port. Stopped, it refuses connections; hanging, it accepts and says nothing."""

    def __init__(self) -> None:
        self.port = free_port()
        self.hits: Counter[str] = Counter()
        self.answer: bytes | None = _OK
        self._server: asyncio.Server | None = None

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Visit(self), "127.0.0.1", self.port, backlog=1024)

    async def stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()

    def behave(self) -> None:
        self.answer = _OK

    def fail(self) -> None:
        self.answer = _FAILING

    def hang(self) -> None:
        self.answer = None


class _Visit(asyncio.Protocol):
    def __init__(self, target: Target) -> None:
        self._target = target
        self._seen = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._seen += data
        if b"\r\n\r\n" not in self._seen:
            return
        self._target.hits[self._seen.split(b" ", 2)[1].decode()] += 1
        self._seen = b""
        if self._target.answer is not None:
            self._transport.write(self._target.answer)
            self._transport.close()


@contextlib.asynccontextmanager
async def serve_target() -> AsyncIterator[Target]:
    """A target that is up."""
    target = Target()
    await target.start()
    try:
        yield target
    finally:
        await target.stop()
