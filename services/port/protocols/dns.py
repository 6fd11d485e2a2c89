"""DNS, over UDP and TCP."""

import struct
from collections.abc import Generator

from services.port.dns_query import QUERY_TYPES
from services.port.protocol_api import (
    CloseSequence,
    ProtocolAction,
    ProtocolContext,
    ProtocolGenerator,
    ReadChunk,
    ReadExactly,
    Send,
    ServiceDefinition,
    ServiceRefused,
    ServiceUnhealthy,
    UnexpectedAnswer,
)

_HEADER = struct.Struct(">HHHHHH")
_CLASS_IN = 1
_RESPONSE, _AUTHORITATIVE, _TRUNCATED, _RECURSION_DESIRED, _RECURSION_AVAILABLE = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080
_OPCODE = 0x7800
# RFC 6891 section 6.1.2: root name, OPT, the UDP payload size, version 0, no flags, no options. This size passes
# every link without fragmentation (DNS Flag Day 2020).
_EDNS_BYTES = 1232
_OPT_RECORD = b"\0" + struct.pack(">HHIH", 41, _EDNS_BYTES, 0, 0)
_NO_EDNS_RCODES = ("FORMERR", "NOTIMP")
# Far above the response to one question, and below any text that is read as a length.
_MESSAGE_BYTES_MAX = 8191
# RFC 6895 section 2.3.
_RCODES = (
    "NOERROR",
    "FORMERR",
    "SERVFAIL",
    "NXDOMAIN",
    "NOTIMP",
    "REFUSED",
    "YXDOMAIN",
    "YXRRSET",
    "NXRRSET",
    "NOTAUTH",
)
# NXDOMAIN is a valid response of a healthy server.
_HEALTHY_RCODES = ("NOERROR", "NXDOMAIN")
_REFUSED_RCODES = ("REFUSED", "NOTAUTH")


def dns(context: ProtocolContext) -> ProtocolGenerator:
    """RFC 1035 section 4: one query; the response must repeat its id and its question (RFC 5452 section 9.1)."""
    question = _encode_name(context.query_name) + struct.pack(">HH", QUERY_TYPES[context.query_type], _CLASS_IN)
    answer = yield from (_query_udp(context, question) if context.over_udp else _query_tcp(context, question))
    _, flags, _, answers, _, _ = _HEADER.unpack_from(answer)
    rcode = _rcode_name(flags)
    context.facts["rcode"] = rcode
    context.facts["answers"] = answers
    context.facts["authoritative"] = bool(flags & _AUTHORITATIVE)
    context.facts["recursive"] = bool(flags & _RECURSION_AVAILABLE)
    if flags & _TRUNCATED:
        context.facts["truncated"] = True
    if rcode in _REFUSED_RCODES:
        raise ServiceRefused(f"The server answers {rcode}")
    if rcode not in _HEALTHY_RCODES:
        raise ServiceUnhealthy(f"The server answers {rcode}")
    return CloseSequence()


def _query_udp(context: ProtocolContext, question: bytes) -> Generator[ProtocolAction, bytes, bytes]:
    """Queries with EDNS, and again without it if the server does not support it (RFC 6891 section 7)."""
    answer = b""
    for extra in (_OPT_RECORD, b""):
        context.facts["edns"] = bool(extra)
        number = context.random(2)
        yield Send(_encode_query(number, question, extra))
        answer = yield from _read_datagram(number, question)
        if _rcode_name(int.from_bytes(answer[2:4], "big")) not in _NO_EDNS_RCODES:
            break
    return answer


def _query_tcp(context: ProtocolContext, question: bytes) -> Generator[ProtocolAction, bytes, bytes]:
    number = context.random(2)
    query = _encode_query(number, question)
    yield Send(len(query).to_bytes(2, "big") + query)
    return (yield from _read_tcp_message(number, question))


def _encode_query(number: bytes, question: bytes, extra: bytes = b"") -> bytes:
    return number + struct.pack(">HHHHH", _RECURSION_DESIRED, 1, 0, 0, 1 if extra else 0) + question + extra


def _rcode_name(flags: int) -> str:
    code = flags & 0xF
    return _RCODES[code] if code < len(_RCODES) else f"RCODE{code}"


def _read_datagram(number: bytes, question: bytes) -> Generator[ProtocolAction, bytes, bytes]:
    """Reads datagrams until the response arrives: others are late or spoofed."""
    while True:
        datagram = yield ReadChunk()
        if _is_answer_to(datagram, number, question):
            return datagram


def _read_tcp_message(number: bytes, question: bytes) -> Generator[ProtocolAction, bytes, bytes]:
    """Reads a message with its length prefix (RFC 7766 section 8)."""
    head = yield ReadExactly(2)
    size = int.from_bytes(head, "big")
    if not _HEADER.size <= size <= _MESSAGE_BYTES_MAX:
        raise UnexpectedAnswer("The peer does not speak DNS", head)
    message = yield ReadExactly(size)
    if not _is_answer_to(message, number, question):
        raise UnexpectedAnswer("The response does not match the query")
    return message


def _is_answer_to(message: bytes, number: bytes, question: bytes) -> bool:
    if len(message) < _HEADER.size or message[:2] != number:
        return False
    _, flags, questions, _, _, _ = _HEADER.unpack_from(message)
    if not flags & _RESPONSE or flags & _OPCODE:
        return False
    if questions == 0 and flags & 0xF:  # an error response may omit the question
        return True
    # Names compare case-insensitively.
    return questions == 1 and message[_HEADER.size :][: len(question)].lower() == question.lower()


def _encode_name(text: str) -> bytes:
    """Returns a name in wire format (RFC 1035 section 3.1)."""
    labels = [label.encode("ascii") for label in text.split(".") if label]
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


SERVICES = (ServiceDefinition("dns", 53, dns, transport="udp", transports=("tcp",)),)
