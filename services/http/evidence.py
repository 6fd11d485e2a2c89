"""What a hop that failed keeps of the peer's first words: safe to show, without secrets, at most 1 KiB. Pure."""

import re
import urllib.parse
from collections.abc import Iterable
from typing import Protocol

from services.http.coding import CodingError, Decoder, is_known
from services.http.headers import is_secret_name
from services.http.request import Request
from services.http.shown import REDACTED, anonymous, covered, cut_off

SAID_BYTES_MAX = 1024
HEAD_BYTES_MAX = 512
BODY_BYTES_MAX = 512

_STATUS_LINE_BYTES_MAX = 128
# A whole query is told by nothing else; of its values, and of cookies, those that are no ordinary words.
_CONFIDED_LENGTH_MIN = 8
# A shorter query stands in many words by chance: it is known by its question mark.
_QUERY_LENGTH_MIN = 4
_LINE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)(:[ \t]*)(.*)")
_PLACES = frozenset({"location", "content-location", "refresh", "link"})
_QUERY = re.compile(r"(\bhttps?://[^\s\"'<>?]{1,2048}\?)[^\s\"'<>]+", re.IGNORECASE)


class Heard(Protocol):
    """What is needed of an answer, of whatever version of HTTP."""

    headed: bool
    version: str
    status: int
    headers: list[tuple[bytes, bytes]]
    start: bytes
    whole: bool


def said(answer: Heard, first: bytes, request: Request, secrets: Iterable[str]) -> str:
    """Returns the status line, the header lines and the start of the body; the `first` bytes where there is no HTTP.

    `secrets` must not be shown, nor what the request itself has in its query and its cookies.
    """
    hidden = {*secrets, *_confided(request)}
    if not answer.headed:
        return _fitting(_lines(cut_off(hidden, covered(hidden, first)).decode(errors="backslashreplace")))
    told = _lines(covered(hidden, _head(answer, first)).decode(errors="replace"))
    body = _plain(answer)
    is_cut = not answer.whole or len(body) >= BODY_BYTES_MAX
    body = covered(hidden, body)
    if body:
        told += "\n\n" + _lines((cut_off(hidden, body) if is_cut else body).decode(errors="replace"))
    return _fitting(told)


def _confided(request: Request) -> set[str]:
    query = request.url.path.partition("?")[2]
    pairs = (*urllib.parse.parse_qsl(query), *request.cookies)
    asked = {query if len(query) >= _QUERY_LENGTH_MIN else f"?{query}"} if query else set[str]()
    return {*asked, *(value for name, value in pairs if is_secret_name(name) or _is_unusual(value))} - {""}


def _is_unusual(value: str) -> bool:
    return len(value) >= _CONFIDED_LENGTH_MIN and not value.isalpha()


def _head(answer: Heard, first: bytes) -> bytes:
    """Returns the status line as the peer said it if that is known, and as many header lines as fit."""
    line = first.partition(b"\n")[0].strip()
    if not line.startswith(b"HTTP/") or b" %d" % answer.status not in line[:16] or len(line) > _STATUS_LINE_BYTES_MAX:
        line = b"HTTP/%s %d" % (answer.version.encode(), answer.status)
    lines, size = [line], len(line)
    for place, (name, value) in enumerate(answer.headers):
        size += len(name) + len(value) + 3
        if size > HEAD_BYTES_MAX:
            lines.append(b"(%d more header lines)" % (len(answer.headers) - place))
            break
        lines.append(name + b": " + value)
    return b"\n".join(lines)


def _plain(answer: Heard) -> bytes:
    """Returns the start of the body with its content coding undone if it is one that we know."""
    coding = next((value for name, value in answer.headers if name.lower() == b"content-encoding"), b"identity")
    word = coding.decode("latin-1").strip().lower()
    if word == "identity":
        return answer.start[:BODY_BYTES_MAX]
    plain = b""
    try:
        for piece in Decoder(word).feed(answer.start) if is_known(word) else ():
            plain += piece
            if len(plain) >= BODY_BYTES_MAX:
                break
    except CodingError:
        pass
    return plain[:BODY_BYTES_MAX]


def _lines(text: str) -> str:
    """Returns the text line by line: telling values hidden, and what would move a cursor escaped."""
    text = anonymous(_QUERY.sub(rf"\1{REDACTED}", text))
    return "\n".join(_safe(_line(line.rstrip("\r"))) for line in text.rstrip().split("\n"))


def _line(line: str) -> str:
    header = _LINE.fullmatch(line)
    if header is not None and is_secret_name(header[1]):
        return f"{header[1]}{header[2]}{REDACTED}"
    if header is not None and header[1].lower() in _PLACES and "?" in header[3]:
        return f"{header[1]}{header[2]}{header[3].partition('?')[0]}?{REDACTED}"
    return line


def _safe(line: str) -> str:
    if line.isprintable():
        return line
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in line.expandtabs(4)
    )


def _fitting(text: str) -> str:
    data = text.encode()
    return text if len(data) <= SAID_BYTES_MAX else data[: SAID_BYTES_MAX - 3].decode(errors="ignore") + "…"
