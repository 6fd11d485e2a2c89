"""MongoDB: the hello command, which needs no login."""

import struct
from collections.abc import Iterator

from libs.model.outcome import Fact
from services.port.protocol_api import (
    CloseSequence,
    ProtocolContext,
    ProtocolGenerator,
    ReadExactly,
    Send,
    ServiceDefinition,
    ServiceRefused,
    ServiceUnhealthy,
    UnexpectedAnswer,
    printable,
)

_OP_MSG = 2013
_HEADER = struct.Struct("<iiii")
_BYTES_MAX = 16 * 1024
# {hello: 1, $db: "admin"} in BSON.
_HELLO = b"\x10hello\0\1\0\0\0" + b"\x02$db\0\6\0\0\0admin\0" + b"\0"
_COMMAND_NOT_FOUND = 59
# bsonspec.org: sizes of the element types without a length field.
_SIZES = {0x01: 8, 0x06: 0, 0x07: 12, 0x08: 1, 0x09: 8, 0x0A: 0, 0x10: 4, 0x11: 8, 0x12: 8, 0x13: 16, 0x7F: 0, 0xFF: 0}
_TEXT, _DOCUMENT, _ARRAY, _BINARY = 0x02, 0x03, 0x04, 0x05
_NUMBERS = {0x01: "<d", 0x10: "<i", 0x12: "<q"}


def mongodb(context: ProtocolContext) -> ProtocolGenerator:
    """mongodb.com, "MongoDB Wire Protocol" (OP_MSG) and "hello": version and replica set role of the server."""
    identity = int.from_bytes(context.random(4), "little") & 0x7FFFFFFF
    document = struct.pack("<i", len(_HELLO) + 4) + _HELLO
    body = struct.pack("<IB", 0, 0) + document
    yield Send(_HEADER.pack(_HEADER.size + len(body), identity, 0, _OP_MSG) + body)
    length = yield ReadExactly(4)
    size = int.from_bytes(length, "little")
    if not 26 <= size <= _BYTES_MAX:  # text read as a length is far beyond it
        raise UnexpectedAnswer("The peer does not speak MongoDB", length)
    _, _, answered, code = _HEADER.unpack(length + (yield ReadExactly(_HEADER.size - 4)))
    if code != _OP_MSG or answered != identity:
        raise UnexpectedAnswer("The peer does not speak MongoDB")
    answer = yield ReadExactly(size - _HEADER.size)
    try:
        hello = dict(_parse_bson(answer[5:]))
    except (struct.error, ValueError, KeyError):
        raise UnexpectedAnswer("The answer is not BSON") from None
    _check_hello(hello)
    _record_facts(context, hello)
    return CloseSequence()


def _check_hello(hello: dict[str, Fact]) -> None:
    if hello.get("ok") != 1 and hello.get("code") != _COMMAND_NOT_FOUND:  # hello is younger than the wire protocol
        raise ServiceRefused("The server refuses", str(hello.get("errmsg", "")))
    part = hello.get("isWritablePrimary") or hello.get("secondary") or hello.get("arbiterOnly")
    if "isWritablePrimary" in hello and not part:
        raise ServiceUnhealthy(
            "The server is neither primary nor secondary of its replica set", str(hello.get("info", ""))
        )


def _record_facts(context: ProtocolContext, hello: dict[str, Fact]) -> None:
    parts = (("arbiterOnly", "arbiter"), ("secondary", "secondary"), ("isWritablePrimary", "primary"))
    context.facts["role"] = "router" if hello.get("msg") == "isdbgrid" else _first_role(hello, parts)
    if isinstance(version := hello.get("maxWireVersion"), int):
        context.facts["protocol_version"] = str(version)
    if isinstance(name := hello.get("setName"), str):
        context.facts["replica_set"] = printable(name)


def _first_role(hello: dict[str, Fact], parts: tuple[tuple[str, str], ...]) -> str:
    return next((name for key, name in parts if hello.get(key)), "unknown")


def _parse_bson(document: bytes) -> Iterator[tuple[str, Fact]]:
    """Yields the scalar elements of a BSON document, not those of nested documents.

    Raises ValueError, KeyError or struct.error for malformed bytes.
    """
    at, end = 4, struct.unpack_from("<i", document)[0] - 1
    if not 4 <= end < len(document):
        raise ValueError("a document is cut")
    while at < end:
        kind, after = document[at], document.index(b"\0", at)
        name = document[at + 1 : after].decode(errors="replace")
        at = after + 1
        size = _element_size(kind, document, at)
        if at + size > end:
            raise ValueError("an element is cut")
        yield name, _decode_value(kind, document[at : at + size])
        at += size


def _element_size(kind: int, document: bytes, at: int) -> int:
    if kind in _SIZES:
        return _SIZES[kind]
    if kind not in (_TEXT, _DOCUMENT, _ARRAY, _BINARY):
        raise ValueError("an element has a type of its own")
    size = int(struct.unpack_from("<i", document, at)[0]) + {_TEXT: 4, _BINARY: 5}.get(kind, 0)
    if size < 4:
        raise ValueError("an element is shorter than its length")
    return size


def _decode_value(kind: int, data: bytes) -> Fact:
    if kind in _NUMBERS:
        (number,) = struct.unpack(_NUMBERS[kind], data)
        return float(number) if kind == 0x01 else int(number)
    if kind == _TEXT:
        return data[4:-1].decode(errors="replace")
    return data != b"\0" if kind == 0x08 else None


SERVICES = (
    ServiceDefinition("mongodb", 27017, mongodb),
    ServiceDefinition("mongodbs", 27017, mongodb, tls=True),
)
