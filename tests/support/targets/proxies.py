"""Small real proxies on loopback: one that speaks HTTP, one that speaks SOCKS5, both with credentials if they want some."""

import asyncio
import base64
import contextlib
import ipaddress
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from tests.support.targets.web import Handler, serving

USERNAME, PASSWORD = "watch", "s3cret/word"
_REFUSED = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"
_WANTS = b'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="x"\r\n\r\n'
_BASIC = b"Proxy-Authorization: Basic " + base64.b64encode(f"{USERNAME}:{PASSWORD}".encode()) + b"\r\n"


@dataclass
class Passed:
    """What a proxy saw: heads of requests, and what it was asked to reach. `hosts` are names that only it knows."""

    hosts: dict[str, str] = field(default_factory=dict)
    heads: list[bytes] = field(default_factory=list)
    goals: list[tuple[str, int]] = field(default_factory=list)

    async def reach(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self.goals.append((host, port))
        return await asyncio.open_connection(self.hosts.get(host, host), port)


@contextlib.asynccontextmanager
async def http_proxy(*, wants: bool = False, **hosts: str) -> AsyncIterator[tuple[str, Passed]]:
    """A proxy that forwards requests and makes tunnels; yields its option and what it saw."""
    passed = Passed({name.replace("_", "."): address for name, address in hosts.items()})
    async with serving(_http(passed, wants=wants)) as port:
        yield f"http://127.0.0.1:{port}", passed


@contextlib.asynccontextmanager
async def socks_proxy(*, wants: bool = False, **hosts: str) -> AsyncIterator[tuple[str, Passed]]:
    """The same with SOCKS5, for names that we look up; the proxy looks names up too, when asked for them."""
    passed = Passed({name.replace("_", "."): address for name, address in hosts.items()})
    async with serving(_socks(passed, wants=wants)) as port:
        yield f"socks5://127.0.0.1:{port}", passed


def _http(passed: Passed, *, wants: bool) -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        passed.heads.append(head)
        method, target, _ = head.split(b" ", 2)
        if wants and _BASIC not in head:
            writer.write(_WANTS)
            return
        tunnels = method == b"CONNECT"
        place = target if tunnels else target.split(b"/", 3)[2]
        host, _, port = place.decode().rpartition(":")
        try:
            there = await passed.reach(host.strip("[]"), int(port))
        except OSError:
            writer.write(_REFUSED)
            return
        if tunnels:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            there[1].write(head.replace(target, b"/" + target.split(b"/", 3)[3], 1).replace(_BASIC, b""))
        await _joined((reader, writer), there)

    return handler


def _socks(passed: Passed, *, wants: bool) -> Handler:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        version, count = await reader.readexactly(2)
        assert version == 5
        method = 2 if wants else 0
        if method not in await reader.readexactly(count):
            writer.write(b"\x05\xff")
            return
        writer.write(bytes([5, method]))
        if wants and not await _knows(reader, writer):
            return
        host, port = await _asked(reader)
        try:
            there = await passed.reach(host, port)
        except OSError:
            writer.write(b"\x05\x05\x00\x01" + bytes(6))
            return
        writer.write(b"\x05\x00\x00\x01" + bytes(6))
        await _joined((reader, writer), there)

    return handler


async def _knows(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    _, length = await reader.readexactly(2)
    username = await reader.readexactly(length)
    password = await reader.readexactly((await reader.readexactly(1))[0])
    known = (username.decode(), password.decode()) == (USERNAME, PASSWORD)
    writer.write(b"\x01\x00" if known else b"\x01\x01")
    return known


async def _asked(reader: asyncio.StreamReader) -> tuple[str, int]:
    _, _, _, kind = await reader.readexactly(4)
    if kind == 3:
        host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
    else:
        host = str(ipaddress.ip_address(await reader.readexactly({1: 4, 4: 16}[kind])))
    return host, int.from_bytes(await reader.readexactly(2), "big")


_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _joined(one: _Streams, other: _Streams) -> None:
    """Carries bytes both ways until each side has ended."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_carry(one[0], other[1]))
            group.create_task(_carry(other[0], one[1]))
    except* OSError:
        pass
    finally:
        other[1].close()
        with contextlib.suppress(OSError):
            await other[1].wait_closed()


async def _carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        sink.write(data)
        await sink.drain()
    sink.write_eof()
