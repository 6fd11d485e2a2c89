"""Replies with a numeric code and text, as in SMTP and FTP."""

import re
from collections.abc import Generator
from typing import NamedTuple

from services.port.protocol_api import ProtocolAction, ReadLine, UnexpectedAnswer

LINES_MAX = 64

_REPLY = re.compile(rb"([1-5][0-9]{2})(?:([ -])(.*))?", re.DOTALL)


class CodedReply(NamedTuple):
    """One reply: its code, and its lines without the code."""

    code: int
    lines: list[bytes]

    @property
    def text(self) -> bytes:
        return b" ".join(self.lines)


def read_reply(protocol: str) -> Generator[ProtocolAction, bytes, CodedReply]:
    """Reads one reply of one or more lines.

    In SMTP each line repeats the code (RFC 5321 section 4.2.1), in FTP only the last line has to (RFC 959 section 4.2).
    """
    first = yield ReadLine(1024)
    found = _REPLY.fullmatch(first)
    if found is None:
        raise UnexpectedAnswer(f"The peer does not speak {protocol}", first)
    code, lines = found[1], [found[3] or b""]
    for _ in range(LINES_MAX):
        if found is not None and found[1] == code and found[2] != b"-":
            return CodedReply(int(code), lines)
        line = yield ReadLine(1024)
        found = _REPLY.fullmatch(line)
        lines.append(line if found is None or found[1] != code else found[3] or b"")
    raise UnexpectedAnswer(f"A reply has more than {LINES_MAX} lines", first)
