"""HTTP/2 client connection for one request (RFC 9113): parses the response and produces the frames to send.

It has the interface of an httptools parser and calls the same methods of the sink. Frames are split here and passed to
h2 one by one: data before an invalid frame is not lost, oversized frames are not awaited, and floods of frames are
counted before they cost.
"""

from enum import IntEnum
from typing import Protocol

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, Event, InformationalResponseReceived, ResponseReceived, StreamEnded, StreamReset
from h2.exceptions import DenialOfServiceError, InvalidBodyLengthError, NoSuchStreamError, ProtocolError
from h2.settings import SettingCodes, Settings

from services.http.client.request import HttpRequest, http2_headers
from services.http.redaction.redact import quote_excerpt
from services.http.rules.body import ResponseProblem
from services.http.spec import HttpReason

# Frames without body data: a normal response needs a dozen.
FRAMES_MAX = 1024
_BODY_BYTES_PER_FRAME = 16
# The cost of each grows with the number of known settings. Servers send one or two, with a few settings each.
_SETTINGS_FRAMES_MAX = 16
_SETTINGS_BYTES_MAX = 64 * 6
_FRAME_HEAD_BYTES = 9
_FRAME_BYTES_MAX = 16384
# Bandwidth-delay product of a distant server, so that flow control does not slow it down.
_WINDOW_BYTES = 4 << 20
_WINDOW_BYTES_DEFAULT = 65535
_STREAM_ID = 1
_CONFIG = H2Configuration(client_side=True, validate_outbound_headers=False, normalize_outbound_headers=False)
# GOAWAY with NO_ERROR and last stream id 0 (RFC 9113 section 6.8).
_GOAWAY = b"\x00\x00\x08\x07" + bytes(13)


class _FrameType(IntEnum):
    """Frame types handled here (RFC 9113 section 6)."""

    HEADERS = 1
    SETTINGS = 4
    GOAWAY = 7


class Http2Error(Exception):
    """The response cannot continue. `problem` is the reason; None means that the headers are too large.

    `wants_http1`: the server requires HTTP/1.1 for this request.
    """

    def __init__(self, flaw: ResponseProblem | None, *, wants_http1: bool = False) -> None:
        super().__init__(flaw)
        self.problem = flaw
        self.wants_http1 = wants_http1


class ResponseSink(Protocol):
    """Callbacks for a response, named as in httptools."""

    @property
    def done(self) -> bool: ...
    def on_header(self, name: bytes, value: bytes) -> None: ...
    def on_headers_complete(self) -> None: ...
    def on_body(self, data: bytes) -> None: ...
    def on_message_complete(self) -> None: ...


class Http2Connection:
    """Client connection with a single stream."""

    __slots__ = (
        "response_started",
        *("_body", "_body_bytes", "_connection", "_frames", "_has_head", "_sink", "_settings", "_status", "_buffer"),
    )

    def __init__(self, sink: ResponseSink, header_list_max: int) -> None:
        """`header_list_max` bounds the header list: its bytes, plus 32 per line (RFC 9113 section 6.5.2)."""
        self.response_started = False  # the first HEADERS frame was received
        self._sink = sink
        self._connection = H2Connection(_CONFIG)
        settings = {
            SettingCodes.ENABLE_PUSH: 0,
            SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW_BYTES,
            SettingCodes.MAX_HEADER_LIST_SIZE: header_list_max,
        }
        self._connection.local_settings = Settings(client=True, initial_values=settings)
        self._connection.decoder.max_header_list_size = header_list_max
        self._buffer = bytearray()
        self._body = memoryview(b"")
        self._frames = self._settings = self._body_bytes = self._status = 0
        self._has_head = False

    def start(self, request: HttpRequest) -> bytes:
        """Returns the connection preface, the request, and as much of its body as flow control permits."""
        connection = self._connection
        connection.initiate_connection()
        connection.increment_flow_control_window(_WINDOW_BYTES - _WINDOW_BYTES_DEFAULT)
        connection.send_headers(_STREAM_ID, http2_headers(request), end_stream=not request.body)
        self._body = memoryview(request.body)
        self._send_body()
        return connection.data_to_send()

    def pending_data(self, *, last: bool) -> bytes:
        """Returns the bytes to send: acknowledgements, more of the body, and a final GOAWAY if `last`."""
        data = self._connection.data_to_send()
        return data + _GOAWAY if last else data

    def release(self) -> None:
        """Breaks the reference cycle of h2's connection, which stores its own bound methods."""
        vars(self._connection).clear()

    @property
    def received_frames(self) -> bool:
        """Whether the server sent HTTP/2 frames at all."""
        return self._frames > 0

    def get_status_code(self) -> int:
        return self._status

    def get_http_version(self) -> str:
        return "2"

    def feed_data(self, data: bytes) -> None:
        """Processes received data until the sink is done; Http2Error if the response cannot continue."""
        self._buffer += data
        at = 0
        while not self._sink.done and (frame := self._next_frame(at)):
            at += len(frame)
            self._process_frame(frame)
        del self._buffer[:at]

    def _next_frame(self, at: int) -> bytes:
        """Returns the frame at offset `at`, or b"" if it is incomplete (RFC 9113 section 4.1)."""
        unread = self._buffer
        if len(unread) < at + _FRAME_HEAD_BYTES:
            return b""
        length, kind = int.from_bytes(unread[at : at + 3]), unread[at + 3]
        if not self._frames and (kind != _FrameType.SETTINGS or unread[at + 4] & 1 or length > _FRAME_BYTES_MAX):
            raise _protocol_error(f"it begins with {quote_excerpt(bytes(unread[:80]))}, not with settings")
        if length > _FRAME_BYTES_MAX:
            raise _protocol_error(f"a frame has {length} bytes, more than the {_FRAME_BYTES_MAX} that were agreed on")
        if kind == _FrameType.HEADERS:
            self.response_started = True
        end = at + _FRAME_HEAD_BYTES + length
        return bytes(unread[at:end]) if len(unread) >= end else b""

    def _process_frame(self, frame: bytes) -> None:
        self._check_frame_limits(frame)
        if frame[3] == _FrameType.GOAWAY:
            self._on_goaway(frame[_FRAME_HEAD_BYTES:])
            return
        try:
            for event in self._connection.receive_data(frame):
                self._on_event(event)
            if self._body:
                self._send_body()
        except DenialOfServiceError:
            raise Http2Error(None) from None
        except InvalidBodyLengthError as error:
            raise _length_error(error.actual_length, error.expected_length) from None
        except ProtocolError as error:
            raise _protocol_error(_error_text(error)) from None

    def _check_frame_limits(self, frame: bytes) -> None:
        self._frames += 1
        if frame[3] == _FrameType.SETTINGS and not frame[4] & 1:
            self._settings += 1
            if self._settings > _SETTINGS_FRAMES_MAX or len(frame) > _FRAME_HEAD_BYTES + _SETTINGS_BYTES_MAX:
                raise _protocol_error("the server keeps changing its settings")
        if self._frames > FRAMES_MAX + self._body_bytes // _BODY_BYTES_PER_FRAME:
            raise Http2Error(ResponseProblem(HttpReason.PROTOCOL_ERROR, "The answer has far more framing than body."))

    def _on_event(self, event: Event) -> None:
        sink = self._sink
        if isinstance(event, DataReceived):
            self._on_data(event)
        elif isinstance(event, ResponseReceived | InformationalResponseReceived):
            self._on_head(event.headers, final=isinstance(event, ResponseReceived))
        elif isinstance(event, StreamEnded):
            sink.on_message_complete()
        elif isinstance(event, StreamReset):
            raise self._reset_error("The server reset the stream", event.error_code)

    def _on_data(self, event: DataReceived) -> None:
        if not self._has_head:
            raise _protocol_error("a body came before its headers")
        self._body_bytes += len(event.data)
        if event.data:
            self._sink.on_body(event.data)
        if event.stream_ended is None and event.flow_controlled_length:
            self._connection.acknowledge_received_data(event.flow_controlled_length, _STREAM_ID)

    def _on_head(self, headers: list[tuple[bytes, bytes]], *, final: bool) -> None:
        for name, value in headers:
            if name == b":status":
                if not (value.isdigit() and len(value) == 3):
                    raise _protocol_error(f"the status is {quote_excerpt(value)}")
                self._status = int(value)
            else:
                self._sink.on_header(name, value)
        self._has_head = final
        self._sink.on_headers_complete()

    def _on_goaway(self, payload: bytes) -> None:
        """Handles GOAWAY. With NO_ERROR, streams up to its last stream id are still answered (section 6.8).

        h2 would treat the connection as closed and reject that response, so the frame is not passed on to it.
        """
        last_stream, code = int.from_bytes(payload[:4]) & 0x7FFFFFFF, int.from_bytes(payload[4:8])
        if len(payload) < 8:
            raise _protocol_error("a GOAWAY is cut short")
        if code != ErrorCodes.NO_ERROR or last_stream < _STREAM_ID:
            raise self._reset_error("The server ended the connection", code)

    def _reset_error(self, what: str, code: int) -> Http2Error:
        names = {each.value: each.name for each in ErrorCodes}
        where = "inside the answer" if self._has_head else "before the answer began"
        reason = HttpReason.TRANSFER_RESET if self._has_head else HttpReason.FIRST_BYTE_RESET
        flaw = ResponseProblem(reason, f"{what} {where} ({names.get(code, f'error {code}')}).")
        return Http2Error(flaw, wants_http1=code == ErrorCodes.HTTP_1_1_REQUIRED and not self._has_head)

    def _send_body(self) -> None:
        """Sends as much of the body as the flow control window permits."""
        connection = self._connection
        while self._body:
            window = min(connection.local_flow_control_window(_STREAM_ID), connection.max_outbound_frame_size)
            if window <= 0:
                return
            piece, self._body = self._body[:window], self._body[window:]
            connection.send_data(_STREAM_ID, piece.tobytes(), end_stream=not self._body)


def _protocol_error(detail: str) -> Http2Error:
    return Http2Error(ResponseProblem(HttpReason.PROTOCOL_ERROR, f"The answer is not HTTP/2: {detail}."))


def _length_error(actual: int, announced: int) -> Http2Error:
    if actual > announced:
        return _protocol_error(f"the body has more than the {announced} bytes that were announced")
    return Http2Error(
        ResponseProblem(HttpReason.INCOMPLETE_BODY, f"The body ended after {actual} of {announced} bytes.")
    )


def _error_text(error: ProtocolError) -> str:
    if isinstance(error, NoSuchStreamError):
        return f"a frame is about stream {error.stream_id}, which is not open"
    return quote_excerpt(str(error))
