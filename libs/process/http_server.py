"""HTTP server in the event loop of the process: starts, stops and fails with its context, handles no signals."""

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

from libs.process.errors import StartError
from libs.process.http_limits import BoundedHttpProtocol

_Scope = MutableMapping[str, Any]
_Event = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Asgi = Callable[[_Scope, _Event, _Send], Awaitable[None]]

CONNECTIONS_MAX = 4096


@asynccontextmanager
async def serve_http(app: Any, host: str, port: int, *, grace_s: float = 5.0) -> AsyncIterator[str]:
    """Serves the ASGI `app` until the context is left, and yields the URL; port 0 takes a free one.

    On exit, no new connections are accepted and open requests get `grace_s`, after which they are cancelled. An app
    with endless streams should end them first. StartError if the port cannot be bound.
    """
    with listening_socket(host, port) as listener:
        config = uvicorn.Config(
            app,
            http=BoundedHttpProtocol,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=max(1, round(grace_s)),
            limit_concurrency=CONNECTIONS_MAX,
            backlog=1024,
        )
        server = _UvicornServer(config)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(server.run_on(listener))
            await server.until_started(task)
            try:
                yield http_url(host, listener.getsockname()[1])
            finally:
                server.should_exit = True


@contextlib.contextmanager
def listening_socket(host: str, port: int) -> Iterator[socket.socket]:
    """Yields a listening socket; StartError with the reason in one sentence if it cannot be bound."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio disables Nagle's algorithm only if the protocol is set; else each response waits 40 ms for a delayed ACK.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(1024)
        except OSError as error:
            raise StartError(_bind_error(host, port, error)) from error
        yield listener


def http_url(host: str, port: int) -> str:
    """Returns the URL, for use on this machine, of a server that listens on `host`."""
    named = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound
    return f"http://[{named}]:{port}" if ":" in named else f"http://{named}:{port}"


def _bind_error(host: str, port: int, error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"port {port} on {host} is taken by another program: stop that one or choose another port"
        case errno.EACCES:
            return f"port {port} on {host} is not allowed for this user: choose one above 1023"
        case errno.EADDRNOTAVAIL:
            return f"{host} is no address of this machine"
        case number:
            reason = os.strerror(number) if number and number > 0 else str(error)
            return f"port {port} on {host} cannot be opened: {reason}"


class _UvicornServer(uvicorn.Server):
    """Uvicorn server without signal handlers and without sys.exit."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._startup_done = asyncio.Event()

    async def run_on(self, listener: socket.socket) -> None:
        try:
            await self.serve(sockets=[listener])
        except SystemExit as error:
            raise StartError("the HTTP application did not start: see the log") from error

    async def until_started(self, task: asyncio.Task[None]) -> None:
        """Waits until connections are accepted; if `task` fails first, its group cancels this wait."""
        task.add_done_callback(lambda _task: self._startup_done.set())
        await self._startup_done.wait()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._startup_done.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
