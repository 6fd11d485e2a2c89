"""A machine that answers echo requests as it pleases: from other addresses, with other bytes, too late, twice."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from typing import NamedTuple

from services.ping.icmp import checksum
from tests.support.netns import Namespace, raw_sockets

ECHO_REPLY, ECHO_REQUEST = 0, 8


class Lie(NamedTuple):
    """One ICMP message that is sent back: from which address, and how long after the request."""

    message: bytes
    source: str = "10.70.0.2"
    after_s: float = 0.0


Answers = Callable[[bytes], Iterable[Lie]]


@contextlib.asynccontextmanager
async def lying(there: Namespace, answers: Answers) -> AsyncIterator[list[bytes]]:
    """Answers what comes to `there` over IPv4 by `answers`, which gets each packet whole; yields all that came."""
    there.set_sysctl("net/ipv4/icmp_echo_ignore_all", "1")
    loop = asyncio.get_running_loop()
    seen: list[bytes] = []
    with there.entered(), raw_sockets(allowed=True):
        ear = socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMP)
        mouths = {source: _mouth(source) for source in ("10.70.0.2", "10.70.0.3")}

    def hear() -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                packet, (asker, _) = ear.recvfrom(65_536)
                if packet[20] == ECHO_REQUEST:
                    seen.append(packet)
                    for lie in answers(packet):
                        loop.call_later(lie.after_s, mouths[lie.source].sendto, lie.message, (asker, 0))

    loop.add_reader(ear, hear)
    try:
        yield seen
    finally:
        loop.remove_reader(ear)
        for sock in (ear, *mouths.values()):
            sock.close()
        there.set_sysctl("net/ipv4/icmp_echo_ignore_all", "0")


def echo(packet: bytes, **changes: int | bytes) -> bytes:
    """Returns the answer to a request, with `kind`, `key` or `payload` as they are wanted, and a checksum that holds."""
    kind, key, payload = changes.get("kind", 0), changes.get("key", packet[24:28]), changes.get("payload", packet[28:])
    assert isinstance(kind, int)
    assert isinstance(key, bytes)
    assert isinstance(payload, bytes)
    return summed(bytes([kind, 0, 0, 0]) + key + payload)


def error(quoted: bytes, kind: int = 3, code: int = 1) -> bytes:
    """Returns an ICMP error that quotes `quoted`."""
    return summed(bytes([kind, code, 0, 0, 0, 0, 0, 0]) + quoted)


def summed(message: bytes) -> bytes:
    blank = message[:2] + b"\0\0" + message[4:]
    return message[:2] + checksum(blank).to_bytes(2, "big") + message[4:]


def _mouth(source: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)  # it only speaks
    sock.bind((source, 0))
    return sock
