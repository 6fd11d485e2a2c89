"""What a hop that failed keeps of the peer's first words: safe to show, without secrets, at most 1 KiB. Pure."""

import re
import urllib.parse
from collections.abc import Iterable
from typing import Protocol

from services.http.client.content_coding import CodingError, ContentDecoder, is_known
from services.http.client.request import HttpRequest
from services.http.options.headers import is_secret_name
from services.http.redaction.redact import REDACTED, redact_bytes, redact_named_values, trim_partial

EXCERPT_BYTES_MAX = 1024
HEAD_BYTES_MAX = 512
BODY_BYTES_MAX = 512

_STATUS_LINE_BYTES_MAX = 128
# A whole query is told by nothing else; of its values, and of cookies, those that are no ordinary words.
_SECRET_LENGTH_MIN = 8
# A shorter query stands in many words by chance: it is known by its question mark.
_QUERY_LENGTH_MIN = 4
_HEADER_LINE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)(:[ \t]*)(.*)")
_URL_HEADERS = frozenset({"location", "content-location", "refresh", "link"})
_URL_QUERY = re.compile(r"(\bhttps?://[^\s\"'<>?]{1,2048}\?)[^\s\"'<>]+", re.IGNORECASE)


class ReceivedResponse(Protocol):
    """What is needed of an answer, of whatever version of HTTP."""

    has_head: bool
    version: str
    status: int
    headers: list[tuple[bytes, bytes]]
    body_start: bytes
    message_complete: bool


def response_excerpt(answer: ReceivedResponse, first: bytes, request: HttpRequest, secrets: Iterable[str]) -> str:
    """Returns the status line, the header lines and the start of the body; the `first` bytes where there is no HTTP.

    `secrets` must not be shown, nor what the request itself has in its query and its cookies.
    """
    hidden = {*secrets, *_request_secrets(request)}
    if not answer.has_head:
        return _truncate(
            _redact_lines(trim_partial(hidden, redact_bytes(hidden, first)).decode(errors="backslashreplace"))
        )
    told = _redact_lines(redact_bytes(hidden, _format_head(answer, first)).decode(errors="replace"))
    body = _decoded_body_start(answer)
    is_cut = not answer.message_complete or len(body) >= BODY_BYTES_MAX
    body = redact_bytes(hidden, body)
    if body:
        told += "\n\n" + _redact_lines((trim_partial(hidden, body) if is_cut else body).decode(errors="replace"))
    return _truncate(told)


def _request_secrets(request: HttpRequest) -> set[str]:
    query = request.url.path.partition("?")[2]
    pairs = (*urllib.parse.parse_qsl(query), *request.cookies)
    asked = {query if len(query) >= _QUERY_LENGTH_MIN else f"?{query}"} if query else set[str]()
    return {*asked, *(value for name, value in pairs if is_secret_name(name) or _looks_secret(value))} - {""}


def _looks_secret(value: str) -> bool:
    return len(value) >= _SECRET_LENGTH_MIN and not value.isalpha()


def _format_head(answer: ReceivedResponse, first: bytes) -> bytes:
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


def _decoded_body_start(answer: ReceivedResponse) -> bytes:
    """Returns the start of the body with its content coding undone if it is one that we know."""
    coding = next((value for name, value in answer.headers if name.lower() == b"content-encoding"), b"identity")
    word = coding.decode("latin-1").strip().lower()
    if word == "identity":
        return answer.body_start[:BODY_BYTES_MAX]
    plain = b""
    try:
        for piece in ContentDecoder(word).feed(answer.body_start) if is_known(word) else ():
            plain += piece
            if len(plain) >= BODY_BYTES_MAX:
                break
    except CodingError:
        pass
    return plain[:BODY_BYTES_MAX]


def _redact_lines(text: str) -> str:
    """Returns the text line by line: telling values hidden, and what would move a cursor escaped."""
    text = redact_named_values(_URL_QUERY.sub(rf"\1{REDACTED}", text))
    return "\n".join(_escape_controls(_redact_line(line.rstrip("\r"))) for line in text.rstrip().split("\n"))


def _redact_line(line: str) -> str:
    header = _HEADER_LINE.fullmatch(line)
    if header is not None and is_secret_name(header[1]):
        return f"{header[1]}{header[2]}{REDACTED}"
    if header is not None and header[1].lower() in _URL_HEADERS and "?" in header[3]:
        return f"{header[1]}{header[2]}{header[3].partition('?')[0]}?{REDACTED}"
    return line


def _escape_controls(line: str) -> str:
    if line.isprintable():
        return line
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in line.expandtabs(4)
    )


def _truncate(text: str) -> str:
    data = text.encode()
    return text if len(data) <= EXCERPT_BYTES_MAX else data[: EXCERPT_BYTES_MAX - 3].decode(errors="ignore") + "…"
