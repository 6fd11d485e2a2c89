"""A small DNS server on UDP, with names that behave and names that do not."""

import asyncio
import contextlib
import ipaddress
import struct
from collections import Counter
from collections.abc import AsyncIterator
from typing import cast

TYPES = {1: "A", 28: "AAAA"}
RCODES = {"servfail": 2, "nxdomain": 3, "refused": 5}


class Names(asyncio.DatagramProtocol):
    """Answers from `zone`: (name, type) to addresses, or a name to "nxdomain", "servfail", "refused", "silent"."""

    def __init__(self, zone: dict[tuple[str, str] | str, str]) -> None:
        self.asked: Counter[tuple[str, str]] = Counter()
        self._zone = zone

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        name, kind, question_end = _question(data)
        self.asked[name, kind] += 1
        mood = self._zone.get(name, "")
        if mood == "silent":
            return
        records = [] if mood else self._zone.get((name, kind), "").split()
        known = any(key == name or key[0] == name for key in self._zone)
        code = RCODES.get(mood, 0 if known else RCODES["nxdomain"])
        header = data[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(records), 0, 0)
        self._transport.sendto(header + data[12:question_end] + b"".join(map(_record, records)), addr)


@contextlib.asynccontextmanager
async def name_server(zone: dict[tuple[str, str] | str, str]) -> AsyncIterator[tuple[str, Names]]:
    """Serves `zone` on a free port; yields its address, such as 127.0.0.1:5353, and the server."""
    names = Names(zone)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: names, local_addr=("127.0.0.1", 0))
    try:
        yield f"127.0.0.1:{transport.get_extra_info('sockname')[1]}", names
    finally:
        transport.close()


def _question(data: bytes) -> tuple[str, str, int]:
    labels: list[str] = []
    at = 12
    while data[at]:
        labels.append(data[at + 1 : at + 1 + data[at]].decode())
        at += 1 + data[at]
    (kind,) = struct.unpack_from(">H", data, at + 1)
    return ".".join(labels).lower(), TYPES.get(kind, str(kind)), at + 5


def _record(text: str) -> bytes:
    address = ipaddress.ip_address(text)
    kind = 1 if address.version == 4 else 28
    return struct.pack(">HHHIH", 0xC00C, kind, 1, 0, len(address.packed)) + address.packed
