"""Body rules, checked on the stream after content decoding; the body is buffered only if a rule needs all of it."""

from typing import NamedTuple

from services.http.client.content_coding import CodingError, ContentDecoder, is_known
from services.http.redaction.redact import quote_excerpt
from services.http.rules.assertions import unmet_json
from services.http.rules.patterns import compile_pattern
from services.http.rules.text_search import TextSearch
from services.http.spec import HttpReason, HttpSpec

# Pages compress to a tenth, logs to a fiftieth; a higher ratio in a large body is an attack.
_RATIO_MAX = 200
_RATIO_UNCHECKED_BYTES = 1 << 20
# Small, so that the ratio is checked before the size limit.
_FEED_BYTES = 4096
_EXCERPT_BYTES = 4096


class ResponseProblem(NamedTuple):
    """Reason and sentence of a rejected response."""

    reason: HttpReason
    detail: str


class BodyChecker:
    """Incremental check of one body. `problem` is set as soon as a rule is violated."""

    __slots__ = ("_buffer", "_coded_bytes", "_decoder", "_limit", "_spec", "decoded_bytes", "problem", "text_search")

    def __init__(self, spec: HttpSpec) -> None:
        self.problem: ResponseProblem | None = None
        self.decoded_bytes = 0
        self.text_search = (
            TextSearch(spec.body_contains, spec.body_lacks) if spec.body_contains or spec.body_lacks else None
        )
        self._spec = spec
        self._limit = min(spec.body_bytes_max, spec.buffered_bytes_max or spec.body_bytes_max)
        self._buffer = bytearray() if spec.buffered_bytes_max else None
        self._decoder: ContentDecoder | None = None
        self._coded_bytes = 0

    @property
    def is_coded(self) -> bool:
        return self._decoder is not None

    @property
    def decided(self) -> bool:
        return self.problem is not None or (self.text_search is not None and self.text_search.found is not None)

    def set_coding(self, coding: str) -> None:
        """Sets the decoder from the value of Content-Encoding."""
        codings = [word for part in coding.lower().split(",") if (word := part.strip()) not in ("", "identity")]
        if len(codings) > 1 or not all(is_known(word) for word in codings):
            self.problem = ResponseProblem(
                HttpReason.CODING_UNSUPPORTED, f"The body is coded as {quote_excerpt(coding)}, which is not supported."
            )
        elif codings:
            self._decoder = ContentDecoder(codings[0])

    def feed(self, data: bytes) -> None:
        if self._decoder is None:
            self._on_decoded(data)
            return
        try:
            for at in range(0, len(data), _FEED_BYTES):
                self._decode(self._decoder, data[at : at + _FEED_BYTES])
        except CodingError as error:
            self.problem = ResponseProblem(HttpReason.CODING_INVALID, f"The body {error}.")

    def finish(self) -> ResponseProblem | None:
        """Handles the end of the body; returns the problem, if any."""
        if self.problem is None and self._decoder is not None and not self._decoder.at_end:
            self.problem = ResponseProblem(HttpReason.CODING_INVALID, "The body ends within its compressed stream.")
        return self.problem

    def check_buffered(self) -> ResponseProblem | None:
        """Checks patterns and JSON assertions on the buffered body. Slow with patterns: run it in a thread."""
        if self._buffer is None:
            return None
        body, spec = bytes(self._buffer), self._spec
        for text in spec.body_matches:
            if compile_pattern(text).search(body) is None:
                seen = quote_excerpt(body[:_EXCERPT_BYTES], spec.secrets)
                return _mismatch(f"The body does not match {quote_excerpt(text)}; it begins with {seen}.")
        for text in spec.body_lacks_match:
            if (found := compile_pattern(text).search(body)) is not None:
                return _mismatch(
                    f"The body matches {quote_excerpt(text)}: {quote_excerpt(found[:_EXCERPT_BYTES], spec.secrets)}."
                )
        if spec.json_assertions and (unmet := unmet_json(spec.json_assertions, body, spec.secrets)) is not None:
            return ResponseProblem(HttpReason.JSON_MISMATCH, unmet)
        return None

    def _decode(self, decoder: ContentDecoder, sip: bytes) -> None:
        self._coded_bytes += len(sip)
        for piece in decoder.feed(sip) if not self.decided else ():
            self._on_decoded(piece)
            if self.decided:
                return

    def _on_decoded(self, piece: bytes) -> None:
        self.decoded_bytes += len(piece)
        self.problem = self._check_size()
        if self.problem is not None:
            return
        if self.text_search is not None:
            self.text_search.feed(piece)
        if self._buffer is not None:
            self._buffer += piece

    def _check_size(self) -> ResponseProblem | None:
        if self.is_coded and self.decoded_bytes > max(_RATIO_UNCHECKED_BYTES, _RATIO_MAX * self._coded_bytes):
            detail = f"The body expands more than {_RATIO_MAX} times when decoded."
            return ResponseProblem(HttpReason.DECOMPRESSION_BOMB, detail)
        if self.decoded_bytes <= self._limit:
            return None
        rule = (
            "body_bytes_max allows"
            if self._limit == self._spec.body_bytes_max
            else "can be searched by its patterns or paths"
        )
        return ResponseProblem(
            HttpReason.BODY_TOO_LARGE, f"The body has more than the {self._limit} bytes that {rule}."
        )


def _mismatch(detail: str) -> ResponseProblem:
    return ResponseProblem(HttpReason.BODY_MISMATCH, detail)
