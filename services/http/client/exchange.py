"""HTTP exchange of one hop: sends the request and reads the response, within bounds, only as far as the verdict needs.

HTTP/1.1 is parsed by httptools and HTTP/2 by http2.py; both call the same methods.
"""

from typing import Protocol

import httptools

from libs.model.outcome import Fact
from libs.net.tls.sessions import TlsSession
from services.http.client.http2 import Http2Connection, Http2Error
from services.http.client.request import HttpRequest, encode_http1
from services.http.client.response_head import announced_facts, content_codings, decode_location, set_cookies
from services.http.rules.assertions import unmet_header
from services.http.rules.body import BodyChecker, ResponseProblem
from services.http.rules.text_search import TextSearch
from services.http.spec import REDIRECT_STATUSES, HttpReason, HttpSpec

HEADER_BYTES_MAX = 64 * 1024
HEADER_LINES_MAX = 256
# Chunks of one byte are legal and take six bytes each; more framing than that is an attack.
_FRAMING_RATIO_MAX = 8

# Bytes of the body kept as evidence for failed checks.
BODY_START_BYTES = 512

_BODYLESS = frozenset({204, 304})
_INTERPRETED_HEADERS = frozenset({b"location", b"content-length", b"transfer-encoding", b"last-modified"})


class HttpTransport(Protocol):
    """The part of a Wire that an exchange uses: the TLS session, and sending beyond the first request."""

    session: TlsSession | None

    def send(self, data: bytes) -> None: ...
    def await_first_byte(self) -> None: ...


class HttpExchange:
    """One request and its response on one connection; implements libs.net.exchange.Exchange."""

    __slots__ = (
        *(
            "body",
            "body_bytes",
            "complete",
            "status_expected",
            "problem",
            "header_bytes",
            "has_head",
            "headers",
            "is_redirect",
        ),
        *("body_start", "status", "version", "wants_http1", "message_complete", "wire", "binary_only"),
        *(
            "_awaits_body_start",
            "_http2",
            "_length",
            "_parser",
            "_known_headers",
            "_received_bytes",
            "_request",
            "_spec",
        ),
        "_until_close",
    )

    def __init__(self, spec: HttpSpec, request: HttpRequest) -> None:
        self.status = 0
        self.version = ""
        self.headers: list[tuple[bytes, bytes]] = []
        self.header_bytes = 0
        self._known_headers: dict[bytes, bytes] = {}
        self.body_bytes = 0
        self.has_head = False
        self.status_expected = False
        self.is_redirect = False
        self.complete = False
        self.problem: ResponseProblem | None = None
        self.wants_http1 = False  # the server requires HTTP/1.1 (HTTP_1_1_REQUIRED)
        self.binary_only = False  # HTTP/2 frames were received, which are unreadable as evidence
        self.body = BodyChecker(spec) if spec.reads_body else None
        self.body_start = b""  # first bytes of the body, not decoded
        self.message_complete = False  # the response was received completely
        self._awaits_body_start = False
        self._spec = spec
        self._request = request
        self._received_bytes = 0
        self._length: int | None = None
        self._until_close = False
        self._parser: httptools.HttpResponseParser | Http2Connection | None = None
        self._http2: Http2Connection | None = None
        self.wire: HttpTransport | None = None

    @property
    def decided(self) -> bool:
        """Whether the verdict is certain."""
        return self.complete or self.problem is not None

    @property
    def done(self) -> bool:
        """Whether nothing more is read, for the verdict or as evidence."""
        return self.decided and not self._awaits_body_start

    @property
    def location(self) -> str | None:
        """Returns the target of a redirect."""
        value = self._known_headers.get(b"location")
        return None if value is None else decode_location(value)

    @property
    def cookies(self) -> list[str]:
        return set_cookies(self.headers)

    @property
    def facts(self) -> dict[str, Fact]:
        """Returns the facts in the response head; empty without one."""
        if not self.has_head:
            return {}
        own: dict[str, Fact] = {"status_code": self.status, "http_version": self.version}
        return own | announced_facts(self._length, self._known_headers.get(b"last-modified", b""))

    @property
    def text_search(self) -> TextSearch | None:
        return None if self.body is None else self.body.text_search

    def on_connected(self) -> bytes | None:
        """Starts the protocol negotiated by ALPN; HTTP/1.1 if none was (RFC 7301 section 3.1)."""
        session = None if self.wire is None else self.wire.session
        if session is not None and session.alpn_protocol == "h2":
            self._parser = self._http2 = Http2Connection(self, HEADER_BYTES_MAX + 32 * HEADER_LINES_MAX)
            return self._http2.start(self._request)
        if session is not None and self._spec.http_version == "2":
            self._fail(HttpReason.HTTP_VERSION, "The server did not negotiate HTTP/2, and http_version is 2.")
            return None
        return encode_http1(self._request)

    def on_data(self, data: bytes) -> bool:
        self._received_bytes += len(data)
        parser = self._parser or self._open_parser()
        try:
            parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            raise
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(HttpReason.PROTOCOL_ERROR, f"The answer is not HTTP/1.1: {error}.")
            self._awaits_body_start = False
        except Http2Error as error:
            self._fail_protocol(error)
            self._awaits_body_start = False
        if self._received_bytes > HEADER_BYTES_MAX + _FRAMING_RATIO_MAX * self.body_bytes:
            self._fail_bounds()
            self._awaits_body_start = False
        if self._http2 is not None and self.wire is not None:
            self._send_replies(self._http2, self.wire, last=self.done)
        return self.done

    def on_closed(self) -> None:
        """Handles EOF, which ends a body without an announced length."""
        if self.decided:
            return
        if self._until_close:
            self._finish_body()
        elif not self.has_head:
            self._fail(HttpReason.INCOMPLETE_HEADERS, "The server closed the connection inside the headers.")
        else:
            of = f" of {self._length}" if self._length is not None else ""
            self._fail(
                HttpReason.INCOMPLETE_BODY, f"The server closed the connection after {self.body_bytes}{of} body bytes."
            )

    def release(self) -> None:
        """Drops wire and parser, which reference this object: leaves no reference cycle."""
        if self._http2 is not None:
            self._http2.release()
        self.wire = self._parser = self._http2 = None

    def _fail_protocol(self, error: Http2Error) -> None:
        if error.problem is None:
            self._fail_bounds()
        else:
            self._fail(*error.problem)
            self.wants_http1 = error.wants_http1

    def _send_replies(self, http2: Http2Connection, wire: HttpTransport, *, last: bool) -> None:
        self.binary_only = http2.received_frames
        if not http2.response_started:
            wire.await_first_byte()  # SETTINGS and the like precede the response
        if owed := http2.pending_data(last=last):
            wire.send(owed)

    def _open_parser(self) -> httptools.HttpResponseParser:
        self._parser = httptools.HttpResponseParser(self)
        # As lenient as browsers (RFC 9112 sections 2.2 and 6.3): a bare LF, and Content-Length beside chunks.
        self._parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True, lenient_chunked_length=True)
        return self._parser

    # Callbacks of the parser.

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.complete or self.problem is not None or self.has_head:  # `decided`, without a call for every line
            return
        self.headers.append((name, value))
        if (known := name.lower()) in _INTERPRETED_HEADERS:
            self._known_headers.setdefault(known, value)
        self.header_bytes += len(name) + len(value) + 4
        if self.header_bytes > HEADER_BYTES_MAX or len(self.headers) > HEADER_LINES_MAX:
            self._fail_bounds()

    def on_headers_complete(self) -> None:
        if self.decided or self._parser is None:
            return
        status = self._parser.get_status_code()
        if status < 200:
            self._skip_interim(status)
            return
        self.status = status
        self.version = self._parser.get_http_version()
        self.has_head = True
        self._read_framing()
        spec = self._spec
        self.is_redirect = status in REDIRECT_STATUSES and spec.redirects_max > 0 and b"location" in self._known_headers
        self.status_expected = any(status in span for span in spec.expected_statuses)
        if self.is_redirect or not self.status_expected:
            self.complete = True
            self._awaits_body_start = not self.is_redirect and self._has_body
            return
        if spec.header_assertions and (unmet := unmet_header(spec.header_assertions, self.headers, spec.secrets)):
            self._fail(HttpReason.HEADER_MISMATCH, unmet)
            self._awaits_body_start = self._has_body
        elif self._request.method == "HEAD" or status in _BODYLESS:
            self._finish_body()
        elif self._length is not None and self._length > spec.body_bytes_max:
            self._fail_size(self._length)
            self._awaits_body_start = True
        elif self.body is not None:
            self._begin_body(self.body)

    def on_body(self, data: bytes) -> None:
        if len(self.body_start) < BODY_START_BYTES:
            self.body_start += data[: BODY_START_BYTES - len(self.body_start)]
        if self.decided:
            self._awaits_body_start = False
            return
        self.body_bytes += len(data)
        if self.body_bytes > self._spec.body_bytes_max:
            self._fail_size(self.body_bytes)
        elif self.body is not None:
            self.body.feed(data)
            self.problem = self.body.problem
            self.complete = self.body.decided and self.problem is None

    def on_message_complete(self) -> None:
        self._awaits_body_start = False
        self.message_complete = self.has_head
        if not self.has_head or self.decided:
            return
        if self._length is not None and self.body_bytes < self._length:
            self._fail(HttpReason.INCOMPLETE_BODY, f"The body ended after {self.body_bytes} of {self._length} bytes.")
        else:
            self._finish_body()

    @property
    def _has_body(self) -> bool:
        return self._request.method != "HEAD" and self.status not in _BODYLESS and self._length != 0

    def _begin_body(self, body: BodyChecker) -> None:
        if coding := content_codings(self.headers):
            body.set_coding(coding)
            self.problem = body.problem

    def _finish_body(self) -> None:
        """Handles the end of a complete body."""
        if self.body_bytes < self._spec.body_bytes_min:
            detail = f"The body has {self.body_bytes} bytes, and body_bytes_min is {self._spec.body_bytes_min}."
            self._fail(HttpReason.BODY_TOO_SMALL, detail)
        elif self.body is not None:
            self.problem = self.body.finish()
        self.complete = self.problem is None

    def _skip_interim(self, status: int) -> None:
        """Discards an interim (1xx) response; the final one follows. Its bytes stay counted."""
        if status == 101 or status < 100:
            self._fail(HttpReason.PROTOCOL_ERROR, f"The server answered {status}, which was not requested.")
        self.headers.clear()
        self._known_headers.clear()

    def _read_framing(self) -> None:
        coding = self._known_headers.get(b"transfer-encoding")
        length = self._known_headers.get(b"content-length")
        if coding is None and length is not None and length.isdigit():
            self._length = int(length)
        chunked = coding is not None and coding.lower().rpartition(b",")[2].strip() == b"chunked"
        self._until_close = not chunked and self._length is None and self._http2 is None

    def _fail_bounds(self) -> None:
        if self.has_head:
            self._fail(HttpReason.PROTOCOL_ERROR, "The answer has far more framing than body.")
        else:
            detail = f"The answer has more than {HEADER_LINES_MAX} header lines or {HEADER_BYTES_MAX} header bytes."
            self._fail(HttpReason.HEADERS_TOO_LARGE, detail)

    def _fail_size(self, size: int) -> None:
        detail = f"The body has {size} bytes or more, and body_bytes_max is {self._spec.body_bytes_max}."
        self._fail(HttpReason.BODY_TOO_LARGE, detail)

    def _fail(self, reason: HttpReason, detail: str) -> None:
        if not self.decided:
            self.problem = ResponseProblem(reason, detail)
