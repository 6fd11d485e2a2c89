"""Size and time limits for requests, which uvicorn's HTTP/1.1 protocol lacks."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES_MAX = 64 * 1024
HEAD_S_MAX = 30.0
BODY_S_MAX = 60.0


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection, closed when the head of a request is too large, or its head or body is not complete in time.

    The limits also apply to a body that the application does not read because it has already responded.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._head_bytes = 0
        self._in_head = True
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        self._begin_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._head_bytes += len(data) if self._in_head else 0
        if self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            self.send_400_response(f"The head of a request may have {HEAD_BYTES_MAX} bytes.")
        # Uvicorn has stopped its own timer. Blank lines and the rest of a rejected body do not start a request.
        if self._timer is None and self.cycle.response_complete:
            self._begin_head()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begin_head()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._start_timer(BODY_S_MAX)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._stop_timer()
        super().on_message_complete()

    def _begin_head(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        self._start_timer(HEAD_S_MAX)

    def _start_timer(self, seconds: float) -> None:
        self._stop_timer()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._on_timeout)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timeout(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
