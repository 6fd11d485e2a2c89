"""Lookups: DNS, over UDP and TCP."""

import struct
from collections.abc import Generator

from services.port.conversation import (
    Ask,
    Call,
    Entry,
    Exactly,
    Goodbye,
    Piece,
    Refusing,
    Say,
    Talk,
    Unexpected,
    Unhealthy,
)
from services.port.names import QUERY_TYPES

_HEADER = struct.Struct(">HHHHHH")
_INTERNET = 1
_IS_ANSWER, _AUTHORITATIVE, _TRUNCATED, _RECURSION_WANTED, _RECURSION_OFFERED = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080
_OPCODE = 0x7800
# RFC 6891 section 6.1.2: the root, OPT, how long a datagram may be, version 0 and no flags, no options. So much passes
# every link in one piece (DNS Flag Day 2020).
_EDNS_BYTES = 1232
_OPT = b"\0" + struct.pack(">HHIH", 41, _EDNS_BYTES, 0, 0)
_WITHOUT_EDNS = ("FORMERR", "NOTIMP")
# Far above the answer to one question, and below any text that is taken for a length.
_BYTES_MAX = 8191
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
_WELL = ("NOERROR", "NXDOMAIN")
_REFUSALS = ("REFUSED", "NOTAUTH")


def dns(call: Call) -> Talk:
    """RFC 1035 section 4: one question, whose answer repeats its number and its words (RFC 5452 section 9.1)."""
    question = _name(call.query_name) + struct.pack(">HH", QUERY_TYPES[call.query_type], _INTERNET)
    answer = yield from (_over_udp(call, question) if call.over_udp else _over_tcp(call, question))
    _, flags, _, answers, _, _ = _HEADER.unpack_from(answer)
    rcode = _rcode(flags)
    call.facts["rcode"] = rcode
    call.facts["answers"] = answers
    call.facts["authoritative"] = bool(flags & _AUTHORITATIVE)
    call.facts["recursive"] = bool(flags & _RECURSION_OFFERED)
    if flags & _TRUNCATED:
        call.facts["truncated"] = True
    if rcode in _REFUSALS:
        raise Refusing(f"The server answers {rcode}")
    if rcode not in _WELL:
        raise Unhealthy(f"The server answers {rcode}")
    return Goodbye()


def _over_udp(call: Call, question: bytes) -> Generator[Ask, bytes, bytes]:
    """Asks with EDNS, and as of old where the server does not know that (RFC 6891 section 7)."""
    answer = b""
    for extra in (_OPT, b""):
        call.facts["edns"] = bool(extra)
        number = call.random(2)
        yield Say(_query(number, question, extra))
        answer = yield from _datagram(number, question)
        if _rcode(int.from_bytes(answer[2:4], "big")) not in _WITHOUT_EDNS:
            break
    return answer


def _over_tcp(call: Call, question: bytes) -> Generator[Ask, bytes, bytes]:
    number = call.random(2)
    query = _query(number, question)
    yield Say(len(query).to_bytes(2, "big") + query)
    return (yield from _segment(number, question))


def _query(number: bytes, question: bytes, extra: bytes = b"") -> bytes:
    return number + struct.pack(">HHHHH", _RECURSION_WANTED, 1, 0, 0, 1 if extra else 0) + question + extra


def _rcode(flags: int) -> str:
    code = flags & 0xF
    return _RCODES[code] if code < len(_RCODES) else f"RCODE{code}"


def _datagram(number: bytes, question: bytes) -> Generator[Ask, bytes, bytes]:
    """Reads until the answer comes: others are the answers to somebody else, or somebody's lies."""
    while True:
        datagram = yield Piece()
        if _answers(datagram, number, question):
            return datagram


def _segment(number: bytes, question: bytes) -> Generator[Ask, bytes, bytes]:
    """RFC 7766 section 8: a length comes before the message."""
    head = yield Exactly(2)
    size = int.from_bytes(head, "big")
    if not _HEADER.size <= size <= _BYTES_MAX:
        raise Unexpected("The peer does not speak DNS", head)
    message = yield Exactly(size)
    if not _answers(message, number, question):
        raise Unexpected("What the server sent does not answer the question")
    return message


def _answers(message: bytes, number: bytes, question: bytes) -> bool:
    if len(message) < _HEADER.size or message[:2] != number:
        return False
    _, flags, questions, _, _, _ = _HEADER.unpack_from(message)
    if not flags & _IS_ANSWER or flags & _OPCODE:
        return False
    if questions == 0 and flags & 0xF:  # an error may leave the question out
        return True
    # A name may come back in other letters, and is then the same name.
    return questions == 1 and message[_HEADER.size :][: len(question)].lower() == question.lower()


def _name(text: str) -> bytes:
    """Returns a name as RFC 1035 section 3.1 writes it."""
    labels = [label.encode("ascii") for label in text.split(".") if label]
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


SERVICES = (Entry("dns", 53, dns, transport="udp", transports=("tcp",)),)
