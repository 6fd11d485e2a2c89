"""Reads one answer as it arrives, within bounds, and no further than the verdict needs.

httptools cuts HTTP/1.1 and http2.py cuts HTTP/2 into the same pieces, which are judged here.
"""

from typing import Protocol

import httptools

from libs.model.outcome import Fact
from libs.net.tls import Session
from services.http.assertions import unmet_header
from services.http.body import Body, Flaw
from services.http.head import announced, coding_of, cookies_of, readable_location
from services.http.http2 import Broken, Http2
from services.http.request import Request, encode
from services.http.spec import FOLLOWED, HttpReason, HttpSpec
from services.http.texts import Texts

HEADER_BYTES_MAX = 64 * 1024
HEADER_LINES_MAX = 256
# Chunks of one byte are legal and cost six bytes each; more framing than that is abuse.
_FRAMING_MAX = 8

# What is kept of a body for those who want to know why it failed.
START_BYTES = 512

_BODYLESS = frozenset({204, 304})
_READ = frozenset({b"location", b"content-length", b"transfer-encoding", b"last-modified"})


class Line(Protocol):
    """What the talk needs of its wire: what the handshake agreed on, and a way to say more than the request."""

    session: Session | None

    def say(self, data: bytes) -> None: ...
    def await_answer(self) -> None: ...


class Answer:
    """The talk of one hop: sends the request, takes the answer, and knows when it has seen enough."""

    __slots__ = (
        *("body", "body_bytes", "complete", "expected", "flaw", "header_bytes", "headed", "headers", "redirects"),
        *("start", "status", "version", "wants_http1", "whole", "wire", "wordless"),
        *("_awaits_start", "_http2", "_length", "_parser", "_read", "_received_bytes", "_request", "_spec"),
        "_until_close",
    )

    def __init__(self, spec: HttpSpec, request: Request) -> None:
        self.status = 0
        self.version = ""
        self.headers: list[tuple[bytes, bytes]] = []
        self.header_bytes = 0
        self._read: dict[bytes, bytes] = {}
        self.body_bytes = 0
        self.headed = False
        self.expected = False
        self.redirects = False
        self.complete = False
        self.flaw: Flaw | None = None
        self.wants_http1 = False  # the server said over HTTP/2 that it serves this over HTTP/1.1 only
        self.wordless = False  # what came are frames, of which people can read nothing
        self.body = Body(spec) if spec.reads_body else None
        self.start = b""  # of the body, as sent
        self.whole = False  # nothing more will come
        self._awaits_start = False
        self._spec = spec
        self._request = request
        self._received_bytes = 0
        self._length: int | None = None
        self._until_close = False
        self._parser: httptools.HttpResponseParser | Http2 | None = None
        self._http2: Http2 | None = None
        self.wire: Line | None = None

    @property
    def enough(self) -> bool:
        """Tells whether the verdict is clear."""
        return self.complete or self.flaw is not None

    @property
    def done(self) -> bool:
        """Tells whether nothing more is read, for the verdict or for those who want to know why."""
        return self.enough and not self._awaits_start

    @property
    def location(self) -> str | None:
        """Returns where a redirect points."""
        value = self._read.get(b"location")
        return None if value is None else readable_location(value)

    @property
    def cookies(self) -> list[str]:
        return cookies_of(self.headers)

    @property
    def facts(self) -> dict[str, Fact]:
        """Returns what the head of the answer says of itself, for the hop; nothing before there is one."""
        if not self.headed:
            return {}
        own: dict[str, Fact] = {"status_code": self.status, "http_version": self.version}
        return own | announced(self._length, self._read.get(b"last-modified", b""))

    @property
    def texts(self) -> Texts | None:
        return None if self.body is None else self.body.texts

    def opened(self) -> bytes | None:
        """Begins to speak what the handshake agreed on: without an agreement, HTTP/1.1 (RFC 7301 section 3.1)."""
        session = None if self.wire is None else self.wire.session
        if session is not None and session.protocol == "h2":
            self._parser = self._http2 = Http2(self, HEADER_BYTES_MAX + 32 * HEADER_LINES_MAX)
            return self._http2.ask(self._request)
        if session is not None and self._spec.http_version == "2":
            self._spoil(HttpReason.HTTP_VERSION, "The server does not agree to HTTP/2, and http_version is 2.")
            return None
        return encode(self._request)

    def received(self, data: bytes) -> bool:
        self._received_bytes += len(data)
        parser = self._parser or self._open_parser()
        try:
            parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            raise
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._spoil(HttpReason.PROTOCOL_ERROR, f"The answer is not HTTP/1.1: {error}.")
            self._awaits_start = False
        except Broken as error:
            self._break(error)
            self._awaits_start = False
        if self._received_bytes > HEADER_BYTES_MAX + _FRAMING_MAX * self.body_bytes:
            self._bound_exceeded()
            self._awaits_start = False
        if self._http2 is not None and self.wire is not None:
            self._reply(self._http2, self.wire, last=self.done)
        return self.done

    def closed(self) -> None:
        """Takes the peer's orderly close, which ends a body without an announced length."""
        if self.enough:
            return
        if self._until_close:
            self._whole()
        elif not self.headed:
            self._spoil(HttpReason.INCOMPLETE_HEADERS, "The server closed the connection inside the headers.")
        else:
            of = f" of {self._length}" if self._length is not None else ""
            self._spoil(
                HttpReason.INCOMPLETE_BODY, f"The server closed the connection after {self.body_bytes}{of} body bytes."
            )

    def release(self) -> None:
        """Lets go of wire and parser, which hold this answer: nothing is left for the garbage collector."""
        if self._http2 is not None:
            self._http2.release()
        self.wire = self._parser = self._http2 = None

    def _break(self, error: Broken) -> None:
        if error.flaw is None:
            self._bound_exceeded()
        else:
            self._spoil(*error.flaw)
            self.wants_http1 = error.wants_http1

    def _reply(self, http2: Http2, wire: Line, *, last: bool) -> None:
        self.wordless = http2.greeted
        if not http2.answered:
            wire.await_answer()  # settings and the like come before the server has thought
        if owed := http2.owed(last=last):
            wire.say(owed)

    def _open_parser(self) -> httptools.HttpResponseParser:
        self._parser = httptools.HttpResponseParser(self)
        # What browsers take, we take (RFC 9112 sections 2.2 and 6.3): a bare LF, and a length beside chunks.
        self._parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True, lenient_chunked_length=True)
        return self._parser

    # The parser calls these.

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.complete or self.flaw is not None or self.headed:  # `enough`, without a call for every line
            return
        self.headers.append((name, value))
        if (known := name.lower()) in _READ:
            self._read.setdefault(known, value)
        self.header_bytes += len(name) + len(value) + 4
        if self.header_bytes > HEADER_BYTES_MAX or len(self.headers) > HEADER_LINES_MAX:
            self._bound_exceeded()

    def on_headers_complete(self) -> None:
        if self.enough or self._parser is None:
            return
        status = self._parser.get_status_code()
        if status < 200:
            self._interim(status)
            return
        self.status = status
        self.version = self._parser.get_http_version()
        self.headed = True
        self._read_framing()
        spec = self._spec
        self.redirects = status in FOLLOWED and spec.redirects_max > 0 and b"location" in self._read
        self.expected = any(status in span for span in spec.statuses)
        if self.redirects or not self.expected:
            self.complete = True
            self._awaits_start = not self.redirects and self._has_body
            return
        if spec.header_assertions and (unmet := unmet_header(spec.header_assertions, self.headers, spec.secrets)):
            self._spoil(HttpReason.HEADER_MISMATCH, unmet)
            self._awaits_start = self._has_body
        elif self._request.method == "HEAD" or status in _BODYLESS:
            self._whole()
        elif self._length is not None and self._length > spec.body_bytes_max:
            self._spoil_by_size(self._length)
            self._awaits_start = True
        elif self.body is not None:
            self._begin_body(self.body)

    def on_body(self, data: bytes) -> None:
        if len(self.start) < START_BYTES:
            self.start += data[: START_BYTES - len(self.start)]
        if self.enough:
            self._awaits_start = False
            return
        self.body_bytes += len(data)
        if self.body_bytes > self._spec.body_bytes_max:
            self._spoil_by_size(self.body_bytes)
        elif self.body is not None:
            self.body.feed(data)
            self.flaw = self.body.flaw
            self.complete = self.body.enough and self.flaw is None

    def on_message_complete(self) -> None:
        self._awaits_start = False
        self.whole = self.headed
        if not self.headed or self.enough:
            return
        if self._length is not None and self.body_bytes < self._length:
            self._spoil(HttpReason.INCOMPLETE_BODY, f"The body ended after {self.body_bytes} of {self._length} bytes.")
        else:
            self._whole()

    @property
    def _has_body(self) -> bool:
        return self._request.method != "HEAD" and self.status not in _BODYLESS and self._length != 0

    def _begin_body(self, body: Body) -> None:
        if coding := coding_of(self.headers):
            body.begin(coding)
            self.flaw = body.flaw

    def _whole(self) -> None:
        """Takes the end of a body that is all there."""
        if self.body_bytes < self._spec.body_bytes_min:
            detail = f"The body has {self.body_bytes} bytes, and body_bytes_min is {self._spec.body_bytes_min}."
            self._spoil(HttpReason.BODY_TOO_SMALL, detail)
        elif self.body is not None:
            self.flaw = self.body.end()
        self.complete = self.flaw is None

    def _interim(self, status: int) -> None:
        """Forgets an interim answer; the final one follows. Its bytes stay counted."""
        if status == 101 or status < 100:
            self._spoil(HttpReason.PROTOCOL_ERROR, f"The server answered {status}, which nobody asked for.")
        self.headers.clear()
        self._read.clear()

    def _read_framing(self) -> None:
        coding = self._read.get(b"transfer-encoding")
        length = self._read.get(b"content-length")
        if coding is None and length is not None and length.isdigit():
            self._length = int(length)
        chunked = coding is not None and coding.lower().rpartition(b",")[2].strip() == b"chunked"
        self._until_close = not chunked and self._length is None and self._http2 is None

    def _bound_exceeded(self) -> None:
        if self.headed:
            self._spoil(HttpReason.PROTOCOL_ERROR, "The answer has far more framing than body.")
        else:
            detail = f"The answer has more than {HEADER_LINES_MAX} header lines or {HEADER_BYTES_MAX} header bytes."
            self._spoil(HttpReason.HEADERS_TOO_LARGE, detail)

    def _spoil_by_size(self, size: int) -> None:
        detail = f"The body has {size} bytes or more, and body_bytes_max is {self._spec.body_bytes_max}."
        self._spoil(HttpReason.BODY_TOO_LARGE, detail)

    def _spoil(self, reason: HttpReason, detail: str) -> None:
        if not self.enough:
            self.flaw = Flaw(reason, detail)
