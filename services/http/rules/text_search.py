"""Streaming text search: buffers no more than the length of the longest text between chunks."""

from collections.abc import Sequence

TEXTS_MAX = 16
TEXT_LENGTH_MAX = 1024


class TextSearch:
    """Tracks which wanted texts are still `missing`, and which unwanted text was `found`."""

    __slots__ = ("_overlap", "_tail", "_unwanted", "found", "missing")

    def __init__(self, wanted: Sequence[str], unwanted: Sequence[str]) -> None:
        self.missing = [text.encode() for text in wanted]
        self.found: bytes | None = None
        self._unwanted = [text.encode() for text in unwanted]
        self._overlap = max((len(text) - 1 for text in (*self.missing, *self._unwanted)), default=0)
        self._tail = b""

    def feed(self, piece: bytes) -> None:
        window = self._tail + piece
        self.missing = [text for text in self.missing if text not in window]
        self.found = self.found or next((text for text in self._unwanted if text in window), None)
        self._tail = window[-self._overlap :] if self._overlap else b""


def check_texts(field: str, texts: Sequence[str]) -> None:
    if len(texts) > TEXTS_MAX or not all(1 <= len(text) <= TEXT_LENGTH_MAX for text in texts):
        raise ValueError(f"{field} must hold at most {TEXTS_MAX} texts of 1 to {TEXT_LENGTH_MAX} characters")
