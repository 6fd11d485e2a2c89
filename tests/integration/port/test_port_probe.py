import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from libs.model.outcome import Outcome, Reason, Status
from services.port.probe import PortProbe
from services.port.spec import PortReason, PortSpec


@asynccontextmanager
async def serving(greeting: bytes) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def probed(port: int, timeout_s: float = 2.0, **options: Any) -> Outcome:
    async with PortProbe() as probe:
        return await probe(PortSpec(host="127.0.0.1", port=port, **options), timeout_s)


async def test_a_port_that_listens_is_up() -> None:
    async with serving(b"") as port:
        outcome = await probed(port)
    assert (outcome.status, outcome.reason) == (Status.UP, Reason.OK)


async def test_a_port_that_nobody_listens_on_is_down() -> None:
    async with serving(b"") as port:
        pass
    outcome = await probed(port)
    assert (outcome.status, outcome.reason) == (Status.DOWN, Reason.REFUSED)


async def test_an_accepted_connection_without_a_word_is_degraded() -> None:
    async with serving(b"") as port:
        outcome = await probed(port, 0.2, service="ssh")
    assert (outcome.status, outcome.reason) == (Status.DEGRADED, PortReason.SILENT)


async def test_ssh_tells_who_it_is() -> None:
    async with serving(b"welcome\r\nSSH-2.0-OpenSSH_9.2p1 Debian-2\r\n") as port:
        outcome = await probed(port, service="ssh")
    assert outcome.hops[0].facts["software"] == "OpenSSH_9.2p1"
