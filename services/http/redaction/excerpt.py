"""Excerpt of the response of a failed hop: printable, without secrets, at most 1 KiB. Pure."""

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
# Values of the query and of cookies are redacted from this length on, unless they are plain letters.
_SECRET_LENGTH_MIN = 8
# A shorter query would match by chance: it is redacted with its question mark only.
_QUERY_LENGTH_MIN = 4
_HEADER_LINE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+)(:[ \t]*)(.*)")
_URL_HEADERS = frozenset({"location", "content-location", "refresh", "link"})
_URL_QUERY = re.compile(r"(\bhttps?://[^\s\"'<>?]{1,2048}\?)[^\s\"'<>]+", re.IGNORECASE)


class ReceivedResponse(Protocol):
    """The attributes of a response that an excerpt needs, for any HTTP version."""

    has_head: bool
    version: str
    status: int
    headers: list[tuple[bytes, bytes]]
    body_start: bytes
    message_complete: bool


def response_excerpt(response: ReceivedResponse, first: bytes, request: HttpRequest, secrets: Iterable[str]) -> str:
    """Returns status line, headers and the start of the body; the `first` bytes if they are not HTTP.

    Redacts `secrets`, and the query and cookies of the request.
    """
    hidden = {*secrets, *_request_secrets(request)}
    if not response.has_head:
        return _truncate(
            _redact_lines(trim_partial(hidden, redact_bytes(hidden, first)).decode(errors="backslashreplace"))
        )
    text = _redact_lines(redact_bytes(hidden, _format_head(response, first)).decode(errors="replace"))
    body = _decoded_body_start(response)
    is_cut = not response.message_complete or len(body) >= BODY_BYTES_MAX
    body = redact_bytes(hidden, body)
    if body:
        text += "\n\n" + _redact_lines((trim_partial(hidden, body) if is_cut else body).decode(errors="replace"))
    return _truncate(text)


def _request_secrets(request: HttpRequest) -> set[str]:
    query = request.url.path.partition("?")[2]
    pairs = (*urllib.parse.parse_qsl(query), *request.cookies)
    query_secrets = {query if len(query) >= _QUERY_LENGTH_MIN else f"?{query}"} if query else set[str]()
    return {*query_secrets, *(value for name, value in pairs if is_secret_name(name) or _looks_secret(value))} - {""}


def _looks_secret(value: str) -> bool:
    return len(value) >= _SECRET_LENGTH_MIN and not value.isalpha()


def _format_head(response: ReceivedResponse, first: bytes) -> bytes:
    """Returns the status line as received, if known, and as many header lines as fit."""
    line = first.partition(b"\n")[0].strip()
    if not line.startswith(b"HTTP/") or b" %d" % response.status not in line[:16] or len(line) > _STATUS_LINE_BYTES_MAX:
        line = b"HTTP/%s %d" % (response.version.encode(), response.status)
    lines, size = [line], len(line)
    for place, (name, value) in enumerate(response.headers):
        size += len(name) + len(value) + 3
        if size > HEAD_BYTES_MAX:
            lines.append(b"(%d more header lines)" % (len(response.headers) - place))
            break
        lines.append(name + b": " + value)
    return b"\n".join(lines)


def _decoded_body_start(response: ReceivedResponse) -> bytes:
    """Returns the start of the body, decoded if its content coding is supported."""
    coding = next((value for name, value in response.headers if name.lower() == b"content-encoding"), b"identity")
    word = coding.decode("latin-1").strip().lower()
    if word == "identity":
        return response.body_start[:BODY_BYTES_MAX]
    plain = b""
    try:
        for piece in ContentDecoder(word).feed(response.body_start) if is_known(word) else ():
            plain += piece
            if len(plain) >= BODY_BYTES_MAX:
                break
    except CodingError:
        pass
    return plain[:BODY_BYTES_MAX]


def _redact_lines(text: str) -> str:
    """Returns the text line by line, with secret values redacted and control characters escaped."""
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
