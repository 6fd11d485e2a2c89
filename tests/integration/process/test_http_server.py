"""HTTP server in the event loop: start, stop and failure with its context, limits on requests."""

import asyncio
import socket
from typing import Any

import pytest

from libs.process.errors import StartError
from libs.process.http_server import http_url, listening_socket, serve_http
from tests.support.ports import free_port


class App:
    """Responds at once (/refused: without reading the body), never to /hang; records its requests."""

    def __init__(self, *, fails: bool = False) -> None:
        self.fails = fails
        self.begun = asyncio.Event()
        self.cancelled = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.failed" if self.fails else "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        self.begun.set()
        while scope["path"] != "/refused" and (await receive()).get("more_body"):
            pass
        if scope["path"] == "/hang":
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled = True
        if scope["path"] == "/slow":
            await asyncio.sleep(0.3)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


async def get(base: str, path: str) -> bytes:
    host, _, port = base.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    try:
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()


async def test_the_server_runs_inside_its_context_only():
    async with serve_http(App(), "127.0.0.1", 0) as base:
        assert (await get(base, "/")).startswith(b"HTTP/1.1 204")
    with pytest.raises(ConnectionRefusedError):
        await get(base, "/")


async def test_a_request_in_flight_is_finished_at_shutdown():
    app = App()
    async with serve_http(app, "127.0.0.1", 0, grace_s=5) as base, asyncio.TaskGroup() as group:
        request = group.create_task(get(base, "/slow"))
        await app.begun.wait()
    assert request.result().startswith(b"HTTP/1.1 204")


async def test_an_endless_request_is_cancelled_after_the_grace_period():
    app = App()
    async with asyncio.TaskGroup() as group:
        async with serve_http(app, "127.0.0.1", 0, grace_s=1) as base:
            group.create_task(get(base, "/hang"))
            await app.begun.wait()
        assert app.cancelled


async def test_a_port_in_use_is_a_start_error():
    port = free_port()
    with listening_socket("127.0.0.1", port), pytest.raises(StartError, match=f"port {port} on 127.0.0.1 is taken"):
        async with serve_http(App(), "127.0.0.1", port):
            pass


def test_an_address_of_another_machine_is_a_start_error():
    with (
        pytest.raises(StartError, match=r"192\.0\.2\.1 is no address of this machine"),
        listening_socket("192.0.2.1", 1),
    ):
        pass


async def test_an_application_that_does_not_start_ends_the_context():
    with pytest.raises(ExceptionGroup) as caught:
        async with serve_http(App(fails=True), "127.0.0.1", 0):
            await asyncio.sleep(10)
    assert caught.group_contains(StartError, match="did not start")


async def test_an_error_inside_stops_the_server():
    with pytest.raises(ExceptionGroup) as caught:
        async with serve_http(App(), "127.0.0.1", 0) as base:
            raise ZeroDivisionError
    assert caught.group_contains(ZeroDivisionError)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(base.rpartition(":")[2]))) != 0


def test_a_url_contains_an_address_that_can_be_connected_to():
    assert http_url("0.0.0.0", 80) == "http://127.0.0.1:80"
    assert http_url("::", 80) == "http://[::1]:80"
    assert http_url("::1", 80) == "http://[::1]:80"
    assert http_url("192.0.2.1", 80) == "http://192.0.2.1:80"


async def raw_response(base: str, sent: bytes) -> bytes:
    """Returns the response; empty if the server resets the connection because it closes with unread bytes."""
    host, _, port = base.removeprefix("http://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)
    try:
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize("head", [b"GET / HTTP/1.1\r\n" + b"X-A: b\r\n" * 60_000, b"GET /" + b"a" * 600_000])
async def test_an_endless_head_is_rejected(head: bytes):
    app = App()
    async with serve_http(app, "127.0.0.1", 0, grace_s=1) as base:
        assert (await raw_response(base, head))[:12] in {b"HTTP/1.1 400", b""}
        assert not app.begun.is_set()
        assert (await get(base, "/")).startswith(b"HTTP/1.1 204")


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nX-A"])
async def test_an_incomplete_head_times_out(monkeypatch: pytest.MonkeyPatch, begun: bytes):
    monkeypatch.setattr("libs.process.http_limits.HEAD_S_MAX", 0.05)
    async with serve_http(App(), "127.0.0.1", 0) as base:
        assert await raw_response(base, begun) == b""


@pytest.mark.parametrize("path", [b"/", b"/refused"])
async def test_an_incomplete_body_times_out(monkeypatch: pytest.MonkeyPatch, path: bytes):
    monkeypatch.setattr("libs.process.http_limits.BODY_S_MAX", 0.05)
    async with serve_http(App(), "127.0.0.1", 0) as base:
        told = await raw_response(base, b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx" % path)
        assert told == b"" or path == b"/refused"


async def test_blank_lines_after_a_response_do_not_keep_a_connection_open(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("libs.process.http_limits.HEAD_S_MAX", 0.2)
    async with serve_http(App(), "127.0.0.1", 0) as base:
        host, _, port = base.removeprefix("http://").rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204")
        writer.write(b"\r\n")
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()


async def test_a_response_may_take_longer_than_the_body_timeout(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("libs.process.http_limits.BODY_S_MAX", 0.05)
    async with serve_http(App(), "127.0.0.1", 0) as base:
        assert (await get(base, "/slow")).startswith(b"HTTP/1.1 204")


async def test_a_long_body_does_not_count_as_head():
    body = b"x" * 300_000
    async with serve_http(App(), "127.0.0.1", 0) as base:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
        assert (await raw_response(base, head + body)).startswith(b"HTTP/1.1 204")
