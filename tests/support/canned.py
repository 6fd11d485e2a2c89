"""The cheapest web server that can be watched, as a process of its own: `python -m tests.support.canned PORT`.

It listens on several loopback addresses, because one pair of addresses has too few ports for a thousand
connections a second. A path that starts with /hang is never answered.
"""

import asyncio
import contextlib
import signal
import sys
from pathlib import Path
from typing import cast

import uvloop

from tests.support.ports import free_port, listens
from tests.support.processes import ROOT, Process

ADDRESSES = tuple(f"127.0.0.{last}" for last in range(1, 17))
_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 3\r\nconnection: close\r\n\r\nok\n"


class CannedServer:
    """That process. Killed, it refuses connections; started again, it answers on the same port."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", __name__, str(self.port)]
        self.process = Process(
            "target", command, log=directory / f"target-{self.port}.log", env={"PYTHONPATH": str(ROOT)}
        )

    def url(self, path: str = "/", address: str = "127.0.0.1") -> str:
        return f"http://{address}:{self.port}{path}"

    def start(self) -> None:
        self.process.start()
        self.process.wait_until(lambda: listens(self.port))

    def kill(self) -> None:
        self.process.kill()


class _Canned(asyncio.Protocol):
    """Answers every request alike, without reading it."""

    _transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if not data.startswith(b"GET /hang"):
            self._transport.write(_ANSWER)
            self._transport.close()


async def _serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    async with contextlib.AsyncExitStack() as stack:
        for address in ADDRESSES:
            await stack.enter_async_context(await loop.create_server(_Canned, address, port, backlog=4096))
        await ended.wait()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
