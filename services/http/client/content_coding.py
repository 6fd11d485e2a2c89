"""Streaming decoders for the content codings gzip, deflate, br and zstd, with bounded output chunks. Pure."""

import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

import brotli  # type: ignore[import-untyped]

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PIECE_BYTES = 65536
# Some servers write a new stream for each flush; none writes a thousand.
_STREAMS_MAX = 256
# RFC 9659: the largest window that a receiver must support.
_ZSTD_WINDOW_LOG_MAX = 23


class CodingError(ValueError):
    """The body is not valid in its content coding."""


class DecompressStream(Protocol):
    """Decoder of one compressed stream."""

    done: bool
    rest: bytes

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yields the decoded data in chunks of about PIECE_BYTES at most."""


class ContentDecoder:
    """Decoder of one content coding, including concatenated streams."""

    def __init__(self, coding: str) -> None:
        self._open_stream, self._allows_many = _CODINGS[coding]
        self._coding = coding
        self._stream: DecompressStream | None = None
        self._streams = 0

    @property
    def at_end(self) -> bool:
        """Whether the body may end here."""
        return self._stream is None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yields the decoded data of the next part of the body; CodingError if it is invalid."""
        try:
            while data:
                if self._stream is None:
                    self._stream = self._next_stream()
                yield from self._stream.feed(data)
                if not self._stream.done:
                    return
                data, self._stream = self._stream.rest, None
        except (zlib.error, brotli.error, zstd.ZstdError, EOFError) as error:
            raise CodingError(f"is not {self._coding}: {error}") from None

    def _next_stream(self) -> DecompressStream:
        self._streams += 1
        if self._streams > (_STREAMS_MAX if self._allows_many else 1):
            raise CodingError(f"goes on after the end of its {self._coding} stream")
        return self._open_stream()


def is_known(coding: str) -> bool:
    return coding in _CODINGS


class _ZlibStream:
    """Decoder of gzip and deflate, the latter with and without a zlib header (old servers omit it)."""

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self._decompressor = None if bits == 0 else zlib.decompressobj(bits)
        self._start = b""
        self.done = False
        self.rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._decompressor is None:
            data = self._start = self._start + data
            if len(data) < 2:
                return
            headed = data[0] & 15 == 8 and int.from_bytes(data[:2], "big") % 31 == 0
            self._decompressor = zlib.decompressobj(15 if headed else -15)
        while data and not self._decompressor.eof:
            yield self._decompressor.decompress(data, PIECE_BYTES)
            data = self._decompressor.unconsumed_tail
        while not self._decompressor.eof and (piece := self._decompressor.decompress(b"", PIECE_BYTES)):
            yield piece
        self.done, self.rest = self._decompressor.eof, self._decompressor.unused_data


class _BrotliStream:
    def __init__(self) -> None:
        self._decompressor = brotli.Decompressor()
        self.done = False
        self.rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        yield self._decompressor.process(data, output_buffer_limit=PIECE_BYTES)
        while not self._decompressor.is_finished():
            # It accepts more input while output is pending: only an empty chunk means that all is decoded.
            piece = self._decompressor.process(b"", output_buffer_limit=PIECE_BYTES)
            if not piece and self._decompressor.can_accept_more_data():
                break
            yield piece
        self.done = self._decompressor.is_finished()


class _ZstdStream:
    def __init__(self) -> None:
        options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG_MAX}
        self._decompressor = zstd.ZstdDecompressor(options=options)
        self.done = False
        self.rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        yield self._decompressor.decompress(data, PIECE_BYTES)
        while not self._decompressor.eof and not self._decompressor.needs_input:
            yield self._decompressor.decompress(b"", PIECE_BYTES)
        self.done, self.rest = self._decompressor.eof, self._decompressor.unused_data


_CODINGS: dict[str, tuple[Callable[[], DecompressStream], bool]] = {
    "gzip": (lambda: _ZlibStream(31), True),
    "x-gzip": (lambda: _ZlibStream(31), True),
    "deflate": (lambda: _ZlibStream(0), False),
    "br": (_BrotliStream, False),
    "zstd": (_ZstdStream, True),
}
