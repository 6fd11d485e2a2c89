"""A small HTTP/1.1 client of our API for tests: one keep-alive connection, JSON both ways, and event streams."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlencode

import msgspec


class Answer(NamedTuple):
    """What the API said. `body` is decoded JSON, or the bytes when it is not JSON."""

    status: int
    body: Any
    headers: dict[str, str]


class SseEvent(NamedTuple):
    """One event of a stream."""

    id: str
    event: str
    data: Any


class ApiError(AssertionError):
    """The API refused what a test took for granted."""


class Api:
    """Speaks to one API with one key. Not for concurrent requests: take one Api for each of them."""

    def __init__(self, port: int, key: str = "", *, host: str = "127.0.0.1", timeout_s: float = 20) -> None:
        self._host, self._port, self._key, self._timeout_s = host, port, key, timeout_s
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        writer, self._reader, self._writer = self._writer, None, None
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def ask(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        """Returns the answer, whatever its status. A connection that broke meanwhile raises OSError."""
        try:
            async with asyncio.timeout(self._timeout_s):
                reader = await self._send(method, path, body, headers)
                answer = await read_answer(reader)
        except BaseException:
            await self.close()
            raise
        if answer.headers.get("connection") == "close":
            await self.close()
        return answer

    async def get(self, path: str, **query: object) -> Any:
        return await self._good("GET", f"{path}?{urlencode(query)}" if query else path)

    async def post(self, path: str, body: object) -> Any:
        return await self._good("POST", path, body)

    async def patch(self, path: str, body: object) -> Any:
        return await self._good("PATCH", path, body)

    async def delete(self, path: str) -> Any:
        return await self._good("DELETE", path)

    @contextlib.asynccontextmanager
    async def events(self, path: str, **headers: str) -> AsyncIterator[AsyncIterator[SseEvent]]:
        """The events of a stream, on a connection of its own."""
        async with Api(self._port, self._key, host=self._host) as own:
            async with asyncio.timeout(self._timeout_s):
                reader = await own._send("GET", path, None, {"accept": "text/event-stream", **headers})
                status, _ = await _read_head(reader)
            if status != 200:
                raise ApiError(f"GET {path} -> {status}")
            yield _events(reader)

    async def _good(self, method: str, path: str, body: object = None) -> Any:
        answer = await self.ask(method, path, body)
        if not 200 <= answer.status < 300:
            raise ApiError(f"{method} {path} -> {answer.status} {answer.body}")
        return answer.body

    async def _send(self, method: str, path: str, body: object, headers: dict[str, str]) -> asyncio.StreamReader:
        if self._reader is None or self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        content = b"" if body is None else msgspec.json.encode(body)
        fields = {"host": f"{self._host}:{self._port}", "content-length": str(len(content))}
        fields |= {"content-type": "application/json"} if content else {}
        fields |= {"authorization": f"Bearer {self._key}"} if self._key else {}
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self._writer.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + content)
        return self._reader


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    """Returns the next answer on a connection, which may be kept alive."""
    status, headers = await _read_head(reader)
    if headers.get("transfer-encoding") == "chunked":
        content = b"".join([chunk async for chunk in _chunks(reader)])
    else:
        content = await reader.readexactly(int(headers.get("content-length", 0)))
    if content and "json" in headers.get("content-type", ""):
        return Answer(status, msgspec.json.decode(content), headers)
    return Answer(status, content, headers)


async def _read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    try:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    except asyncio.IncompleteReadError as error:
        raise ConnectionError("the server closed the connection") from error
    pairs = (line.split(":", 1) for line in lines[1:] if line)
    return int(lines[0].split(" ")[1]), {name.lower(): value.strip() for name, value in pairs}


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while True:
        size = int(await reader.readuntil(b"\r\n"), 16)
        content = (await reader.readexactly(size + 2))[:-2]
        if not size:
            return
        yield content


async def _events(reader: asyncio.StreamReader) -> AsyncIterator[SseEvent]:
    """Yields the events of a chunked body; comments (keep-alives) are passed over."""
    text = ""
    async for chunk in _chunks(reader):
        text += chunk.decode().replace("\r\n", "\n")
        while "\n\n" in text:
            block, text = text.split("\n\n", 1)
            lines = (line.split(":", 1) for line in block.split("\n") if not line.startswith(":"))
            fields = {parts[0]: parts[-1].removeprefix(" ") for parts in lines}
            if "data" in fields:
                yield SseEvent(fields.get("id", ""), fields.get("event", ""), msgspec.json.decode(fields["data"]))
