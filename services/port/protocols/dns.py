"""Lookups: DNS, over UDP and TCP."""

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
# RFC 6891 section 6.1.2: the root, OPT, how long a datagram may be, version 0 and no flags, no options. So much passes
# every link in one piece (DNS Flag Day 2020).
_EDNS_BYTES = 1232
_OPT_RECORD = b"\0" + struct.pack(">HHIH", 41, _EDNS_BYTES, 0, 0)
_NO_EDNS_RCODES = ("FORMERR", "NOTIMP")
# Far above the answer to one question, and below any text that is taken for a length.
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
# That a name does not exist is what its server has to say.
_HEALTHY_RCODES = ("NOERROR", "NXDOMAIN")
_REFUSED_RCODES = ("REFUSED", "NOTAUTH")


def dns(call: ProtocolContext) -> ProtocolGenerator:
    """RFC 1035 section 4: one question, whose answer repeats its number and its words (RFC 5452 section 9.1)."""
    question = _encode_name(call.query_name) + struct.pack(">HH", QUERY_TYPES[call.query_type], _CLASS_IN)
    answer = yield from (_query_udp(call, question) if call.over_udp else _query_tcp(call, question))
    _, flags, _, answers, _, _ = _HEADER.unpack_from(answer)
    rcode = _rcode_name(flags)
    call.facts["rcode"] = rcode
    call.facts["answers"] = answers
    call.facts["authoritative"] = bool(flags & _AUTHORITATIVE)
    call.facts["recursive"] = bool(flags & _RECURSION_AVAILABLE)
    if flags & _TRUNCATED:
        call.facts["truncated"] = True
    if rcode in _REFUSED_RCODES:
        raise ServiceRefused(f"The server answers {rcode}")
    if rcode not in _HEALTHY_RCODES:
        raise ServiceUnhealthy(f"The server answers {rcode}")
    return CloseSequence()


def _query_udp(call: ProtocolContext, question: bytes) -> Generator[ProtocolAction, bytes, bytes]:
    """Asks with EDNS, and as of old where the server does not know that (RFC 6891 section 7)."""
    answer = b""
    for extra in (_OPT_RECORD, b""):
        call.facts["edns"] = bool(extra)
        number = call.random(2)
        yield Send(_encode_query(number, question, extra))
        answer = yield from _read_datagram(number, question)
        if _rcode_name(int.from_bytes(answer[2:4], "big")) not in _NO_EDNS_RCODES:
            break
    return answer


def _query_tcp(call: ProtocolContext, question: bytes) -> Generator[ProtocolAction, bytes, bytes]:
    number = call.random(2)
    query = _encode_query(number, question)
    yield Send(len(query).to_bytes(2, "big") + query)
    return (yield from _read_tcp_message(number, question))


def _encode_query(number: bytes, question: bytes, extra: bytes = b"") -> bytes:
    return number + struct.pack(">HHHHH", _RECURSION_DESIRED, 1, 0, 0, 1 if extra else 0) + question + extra


def _rcode_name(flags: int) -> str:
    code = flags & 0xF
    return _RCODES[code] if code < len(_RCODES) else f"RCODE{code}"


def _read_datagram(number: bytes, question: bytes) -> Generator[ProtocolAction, bytes, bytes]:
    """Reads until the answer comes: others are the answers to somebody else, or somebody's lies."""
    while True:
        datagram = yield ReadChunk()
        if _is_answer_to(datagram, number, question):
            return datagram


def _read_tcp_message(number: bytes, question: bytes) -> Generator[ProtocolAction, bytes, bytes]:
    """RFC 7766 section 8: a length comes before the message."""
    head = yield ReadExactly(2)
    size = int.from_bytes(head, "big")
    if not _HEADER.size <= size <= _MESSAGE_BYTES_MAX:
        raise UnexpectedAnswer("The peer does not speak DNS", head)
    message = yield ReadExactly(size)
    if not _is_answer_to(message, number, question):
        raise UnexpectedAnswer("What the server sent does not answer the question")
    return message


def _is_answer_to(message: bytes, number: bytes, question: bytes) -> bool:
    if len(message) < _HEADER.size or message[:2] != number:
        return False
    _, flags, questions, _, _, _ = _HEADER.unpack_from(message)
    if not flags & _RESPONSE or flags & _OPCODE:
        return False
    if questions == 0 and flags & 0xF:  # an error may leave the question out
        return True
    # A name may come back in other letters, and is then the same name.
    return questions == 1 and message[_HEADER.size :][: len(question)].lower() == question.lower()


def _encode_name(text: str) -> bytes:
    """Returns a name as RFC 1035 section 3.1 writes it."""
    labels = [label.encode("ascii") for label in text.split(".") if label]
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


SERVICES = (ServiceDefinition("dns", 53, dns, transport="udp", transports=("tcp",)),)
