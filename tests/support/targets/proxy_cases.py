"""Proxies that do not open the way, each with the verdict that a probe through it must get."""

import asyncio
from typing import Any

from libs.model.outcome import Status
from services.http.spec import HttpReason
from tests.support.targets import web
from tests.support.targets.case import Case
from tests.support.targets.web import Handler, page

CONNECT = {"url": "https://shop.example/", "proxy": "http"}
FORWARD = {"url": "http://shop.example/", "proxy": "http"}
SOCKS = {"url": "http://shop.example/", "proxy": "socks5h"}
NAMED = SOCKS | {"proxy_auth": {"username": "watch", "password": "s3cret"}}
FAILED, REFUSED = HttpReason.PROXY_FAILED, HttpReason.PROXY_REFUSED
SILENT, UNREACHABLE = HttpReason.PROXY_TIMEOUT, HttpReason.PROXY_TARGET_UNREACHABLE
SHORT_S = 0.3


def case(name: str, options: dict[str, Any], handler: Handler, reason: HttpReason) -> Case:
    status = Status.DOWN if reason is UNREACHABLE else Status.UNKNOWN
    return Case(name, handler, reason, options, status=status, timeout_s=SHORT_S if reason is SILENT else 5.0)


def turn(*replies: bytes, end: Handler | None = None) -> Handler:
    """Says one reply after each thing it hears, then does what `end` does, or hangs up."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for reply in replies:
            await reader.read(65536)
            writer.write(reply)
        if end is not None:
            await end(reader, writer)

    return handler


def answers(status: str, headers: str = "") -> Handler:
    return web.blurts(page(b"no", status, headers))


QUIET = web.then_silence(b"")
RESET = web.then_reset(b"")
WELCOME, TRUSTED = b"\x05\x00", b"\x01\x00"

TUNNELS = (
    *(
        case(f"CONNECT is answered {status}", CONNECT, answers(status), reason)
        for status, reason in (
            ("502 Bad Gateway", UNREACHABLE),
            ("503 Service Unavailable", UNREACHABLE),
            ("504 Gateway Timeout", UNREACHABLE),
            ("403 Filtered", REFUSED),
            ("407 Proxy Authentication Required", FAILED),
            ("500 Unable to connect", FAILED),
            ("302 Found", FAILED),
            ("101 Switching Protocols", FAILED),
        )
    ),
    case("CONNECT: silence", CONNECT, QUIET, SILENT),
    case("CONNECT: half a head, then silence", CONNECT, web.then_silence(b"HTTP/1.1 200 OK\r\n"), SILENT),
    case("CONNECT: a head that drips", CONNECT, web.dripping(b"HTTP/1.1 200 OK\r\n", b"a: b\r\n"), SILENT),
    case("CONNECT: a head without end", CONNECT, web.endless(b"HTTP/1.1 200 OK\r\n", b"a: b\r\n" * 99), FAILED),
    case("CONNECT: interim answers without end", CONNECT, web.endless(b"", b"HTTP/1.1 100 Go on\r\n\r\n"), FAILED),
    case("CONNECT: garbage", CONNECT, web.blurts(b"SSH-2.0-OpenSSH_9.2\r\n"), FAILED),
    case("CONNECT: garbage that starts well", CONNECT, web.blurts(b"HTTP/1.1 yes\r\n\r\n"), FAILED),
    case("CONNECT: a reset", CONNECT, RESET, FAILED),
    case("CONNECT: a close", CONNECT, web.hangs_up, FAILED),
    case("CONNECT: a close inside the head", CONNECT, web.blurts(b"HTTP/1.1 2"), FAILED),
)
FORWARDS = (
    case("forwarding: 407", FORWARD, answers("407 Mine"), FAILED),
    case("forwarding: silence", FORWARD, QUIET, SILENT),
    case("forwarding: half a head, then silence", FORWARD, web.then_silence(b"HTTP/1.1 200 OK\r\n"), SILENT),
    case("forwarding: garbage", FORWARD, web.blurts(b"SSH-2.0-OpenSSH_9.2\r\n"), FAILED),
    case("forwarding: a reset", FORWARD, RESET, FAILED),
    case("forwarding: a close", FORWARD, web.hangs_up, FAILED),
    case("forwarding: a close inside the head", FORWARD, web.blurts(b"HTTP/1.1 200 OK\r\n"), FAILED),
)
SOCKETS = (
    *(
        case(f"SOCKS5 replies {code}", SOCKS, turn(WELCOME, bytes([5, code, 0, 1]) + bytes(6)), reason)
        for code, reason in (
            (1, FAILED),
            (2, REFUSED),
            (3, UNREACHABLE),
            (4, UNREACHABLE),
            (5, UNREACHABLE),
            (6, UNREACHABLE),
            (7, FAILED),
            (8, FAILED),
            (99, FAILED),
        )
    ),
    case("SOCKS5: silence", SOCKS, QUIET, SILENT),
    case("SOCKS5: silence after the greeting", SOCKS, turn(WELCOME, end=QUIET), SILENT),
    case("SOCKS5: silence after the credentials", NAMED, turn(b"\x05\x02", end=QUIET), SILENT),
    case("SOCKS5: half a reply, then silence", SOCKS, turn(WELCOME, b"\x05\x00\x00\x03\xff", end=QUIET), SILENT),
    case("SOCKS5: wants credentials", SOCKS, turn(b"\x05\xff"), FAILED),
    case("SOCKS5: refuses credentials", NAMED, turn(b"\x05\x02", b"\x01\x01"), FAILED),
    case("SOCKS5: refuses after taking credentials", NAMED, turn(b"\x05\x02", TRUSTED, b"\x05\x02"), REFUSED),
    case("SOCKS5: a way nobody offered", SOCKS, turn(b"\x05\x01"), FAILED),
    case("SOCKS5: SOCKS4", SOCKS, turn(b"\x00\x5a" + bytes(6)), FAILED),
    case("SOCKS5: a web server", SOCKS, turn(page()), FAILED),
    case("SOCKS5: answers what nobody asked", SOCKS, turn(WELCOME + b"\x05\x00\x00\x01" + bytes(6)), FAILED),
    case("SOCKS5: an unknown kind of address", SOCKS, turn(WELCOME, b"\x05\x00\x00\x09" + bytes(6)), FAILED),
    case("SOCKS5: a reset", SOCKS, RESET, FAILED),
    case("SOCKS5: a reset after the greeting", SOCKS, turn(WELCOME, end=RESET), FAILED),
    case("SOCKS5: a close inside the reply", SOCKS, turn(WELCOME, b"\x05\x00\x00"), FAILED),
)
PROXIED = (*TUNNELS, *FORWARDS, *SOCKETS)
