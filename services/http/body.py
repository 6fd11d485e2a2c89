"""What a body must hold: it passes by in pieces, is undone if it is coded, and is kept only if a rule needs all of it."""

from typing import NamedTuple

from services.http.assertions import unmet_json
from services.http.coding import CodingError, Decoder, is_known
from services.http.pattern import compiled
from services.http.shown import shown
from services.http.spec import HttpReason, HttpSpec
from services.http.texts import Texts

# Pages shrink to a tenth, logs to a fiftieth; what grows more than this, and is not small, is made to hurt.
_RATIO_MAX = 200
_RATIO_FREE_BYTES = 1 << 20
# Small, so that the ratio is seen before the bound.
_SIP_BYTES = 4096
_START_BYTES = 4096


class Flaw(NamedTuple):
    """What is wrong with the answer, as the reason and a sentence."""

    reason: HttpReason
    detail: str


class Body:
    """One body on its way. `flaw` is set as soon as it cannot be what it should."""

    __slots__ = ("_decoder", "_held", "_limit", "_spec", "_wire_bytes", "decoded_bytes", "flaw", "texts")

    def __init__(self, spec: HttpSpec) -> None:
        self.flaw: Flaw | None = None
        self.decoded_bytes = 0
        self.texts = Texts(spec.body_contains, spec.body_lacks) if spec.body_contains or spec.body_lacks else None
        self._spec = spec
        self._limit = min(spec.body_bytes_max, spec.held_bytes_max or spec.body_bytes_max)
        self._held = bytearray() if spec.held_bytes_max else None
        self._decoder: Decoder | None = None
        self._wire_bytes = 0

    @property
    def coded(self) -> bool:
        return self._decoder is not None

    @property
    def enough(self) -> bool:
        return self.flaw is not None or (self.texts is not None and self.texts.found is not None)

    def begin(self, coding: str) -> None:
        """Takes the value of Content-Encoding."""
        codings = [word for part in coding.lower().split(",") if (word := part.strip()) not in ("", "identity")]
        if len(codings) > 1 or not all(is_known(word) for word in codings):
            self.flaw = Flaw(HttpReason.CODING_UNSUPPORTED, f"The body is coded as {shown(coding)}, which is not read.")
        elif codings:
            self._decoder = Decoder(codings[0])

    def feed(self, data: bytes) -> None:
        if self._decoder is None:
            self._take(data)
            return
        try:
            for at in range(0, len(data), _SIP_BYTES):
                self._undo(self._decoder, data[at : at + _SIP_BYTES])
        except CodingError as error:
            self.flaw = Flaw(HttpReason.CODING_INVALID, f"The body {error}.")

    def end(self) -> Flaw | None:
        """Takes the end of the body; returns the flaw that only the end shows."""
        if self.flaw is None and self._decoder is not None and not self._decoder.whole:
            self.flaw = Flaw(HttpReason.CODING_INVALID, "The body ends inside its coding.")
        return self.flaw

    def examine(self) -> Flaw | None:
        """Returns what the rules for the whole body find. Slow with patterns: it is made for a thread."""
        if self._held is None:
            return None
        body, spec = bytes(self._held), self._spec
        for text in spec.body_matches:
            if compiled(text).search(body) is None:
                seen = shown(body[:_START_BYTES], spec.secrets)
                return _mismatch(f"The body does not match {shown(text)}; it begins with {seen}.")
        for text in spec.body_lacks_match:
            if (found := compiled(text).search(body)) is not None:
                return _mismatch(f"The body matches {shown(text)}: {shown(found[:_START_BYTES], spec.secrets)}.")
        if spec.json_assertions and (unmet := unmet_json(spec.json_assertions, body, spec.secrets)) is not None:
            return Flaw(HttpReason.JSON_MISMATCH, unmet)
        return None

    def _undo(self, decoder: Decoder, sip: bytes) -> None:
        self._wire_bytes += len(sip)
        for piece in decoder.feed(sip) if not self.enough else ():
            self._take(piece)
            if self.enough:
                return

    def _take(self, piece: bytes) -> None:
        self.decoded_bytes += len(piece)
        self.flaw = self._excess()
        if self.flaw is not None:
            return
        if self.texts is not None:
            self.texts.feed(piece)
        if self._held is not None:
            self._held += piece

    def _excess(self) -> Flaw | None:
        if self.coded and self.decoded_bytes > max(_RATIO_FREE_BYTES, _RATIO_MAX * self._wire_bytes):
            detail = f"The body grows more than {_RATIO_MAX} times when its coding is undone."
            return Flaw(HttpReason.DECOMPRESSION_BOMB, detail)
        if self.decoded_bytes <= self._limit:
            return None
        rule = "body_bytes_max allows" if self._limit == self._spec.body_bytes_max else "its patterns or paths can read"
        return Flaw(HttpReason.BODY_TOO_LARGE, f"The body has more than the {self._limit} bytes that {rule}.")


def _mismatch(detail: str) -> Flaw:
    return Flaw(HttpReason.BODY_MISMATCH, detail)
