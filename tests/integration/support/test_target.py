"""The loopback target and the client that tests use, tried on each other."""

import asyncio

import pytest

from tests.support.client import Api
from tests.support.target import serve_target


async def test_a_target_answers_fails_hangs_and_is_gone_as_told() -> None:
    async with serve_target() as target:
        api = Api(target.port, timeout_s=0.3)
        assert (await api.ask("GET", "/a")).status == 200
        target.fail()
        assert (await api.ask("GET", "/a")).status == 500
        target.hang()
        with pytest.raises(TimeoutError):
            await api.ask("GET", "/a")
        await target.stop()
        with pytest.raises(ConnectionRefusedError):
            await api.ask("GET", "/a")
        await target.start()
        target.behave()
        assert (await api.ask("GET", "/b")).body == b"ok"
        assert target.hits == {"/a": 3, "/b": 1}


async def test_the_client_reads_a_chunked_event_stream() -> None:
    async def stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for part in (b": hello\n\n", b"id: 7\neve", b'nt: result\ndata: {"a": 1}\n\n'):
            writer.write(b"%x\r\n%s\r\n" % (len(part), part))
        await writer.drain()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(stream, "127.0.0.1", 0)
    async with server, Api(server.sockets[0].getsockname()[1]).events("/") as events:
        assert await anext(events) == ("7", "result", {"a": 1})
