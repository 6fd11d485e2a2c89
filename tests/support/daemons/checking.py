"""How tests check a daemon, once and a hundred times; and a way to come to it from another address."""

import contextlib
import select
import socket
import socketserver
import threading
from collections.abc import Iterator
from typing import Any

from libs.model.outcome import Fact, Outcome
from services.port.probe import PortProbe
from services.port.spec import PortSpec
from tests.support.daemons.daemon import Daemon
from tests.support.targets.talkers import probed


async def check(daemon: Daemon, service: str, port: int | None = None, **options: Any) -> Outcome:
    """Returns what a check of the daemon says; `localhost` is the name in its certificate."""
    way = {"host": "localhost", "resolve_to": "127.0.0.1"} | options
    return await probed(port or daemon.port, ca_file=daemon.ca_file, service=service, **way)


def told(outcome: Outcome) -> tuple[str, str]:
    return outcome.status, outcome.reason


def facts(outcome: Outcome) -> dict[str, Fact]:
    return outcome.hops[0].facts


async def check_often(daemon: Daemon, *specs: PortSpec, times: int = 100) -> set[tuple[str, str]]:
    """Makes this many checks of each spec; returns all that they said. Then the daemon's log is about them alone."""
    daemon.forget()
    said = set()
    async with PortProbe(ca_file=daemon.ca_file) as probe:
        for spec in specs:
            said |= {told(await probe(spec, 5.0)) for _ in range(times)}
    return said


def spec(daemon: Daemon, service: str, port: int | None = None, **options: Any) -> PortSpec:
    way = {"host": "localhost", "resolve_to": "127.0.0.1"} | options
    return PortSpec(service=service, port=port or daemon.port, **way)


@contextlib.contextmanager
def from_elsewhere(port: int) -> Iterator[int]:
    """A port of 127.0.0.1 that leads to another; who is there sees connections from 127.0.0.2."""

    class Visit(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", port), source_address=("127.0.0.2", 0)) as far:
                _carry({self.request: far, far: self.request})

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Visit) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def _carry(ways: dict[socket.socket, socket.socket]) -> None:
    """Carries what comes on one socket to the other, and the end of it, too, until both have ended."""
    with contextlib.suppress(OSError):
        while ways:
            for source in select.select(list(ways), [], [], 30)[0]:
                if piece := source.recv(65536):
                    ways[source].sendall(piece)
                else:
                    ways.pop(source).shutdown(socket.SHUT_WR)
