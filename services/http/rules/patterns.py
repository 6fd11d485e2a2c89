"""Regular expressions with bounded cost: RE2 runs in linear time, and program size times text length is limited."""

import functools
from typing import NamedTuple, Protocol

import re2  # type: ignore[import-untyped]

PATTERNS_MAX = 8
PATTERN_LENGTH_MAX = 512
# RE2 program size in instructions. The worst case takes about 7 ns per instruction and byte.
PROGRAM_SIZE_MAX = 2048
# Limits the patterns of one check to about half a second, outside the event loop, on a hostile text.
STEPS_MAX = 1 << 26
_MEMORY_BYTES_MAX = 1 << 20


class _Matcher(Protocol):
    """The part of an RE2 pattern used here."""

    programsize: int
    reverseprogramsize: int

    def search(self, text: bytes, pos: int, endpos: int) -> "_Match | None": ...


class _Match(Protocol):
    def group(self) -> bytes: ...


class CompiledPattern(NamedTuple):
    """A compiled pattern and its program size."""

    text: str
    size: int
    matcher: _Matcher

    def search(self, text: bytes) -> bytes | None:
        """Returns the first match in `text`; None if there is none."""
        match = self.matcher.search(text, 0, len(text))
        return None if match is None else match.group()


@functools.lru_cache(maxsize=256)
def compile_pattern(text: str) -> CompiledPattern:
    """Returns the compiled pattern; ValueError, whose message starts with a verb, if it is invalid or too large."""
    if not 1 <= len(text) <= PATTERN_LENGTH_MAX:
        raise ValueError(f"must hold patterns of 1 to {PATTERN_LENGTH_MAX} characters")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY_BYTES_MAX
    try:
        matcher = re2.compile(text, options)
        size = max(matcher.programsize, matcher.reverseprogramsize)
    except (re2.error, UnicodeEncodeError) as error:
        raise ValueError(f"must hold patterns of RE2, and {text[:40]!r} is none: {_error_text(error)}") from None
    if size > PROGRAM_SIZE_MAX:
        raise ValueError(f"must hold simpler patterns: {text[:40]!r} has {size} steps, {PROGRAM_SIZE_MAX} is the most")
    return CompiledPattern(text, size, matcher)


def check_patterns(field: str, texts: tuple[str, ...]) -> None:
    if len(texts) > PATTERNS_MAX:
        raise ValueError(f"{field} must hold at most {PATTERNS_MAX} patterns")
    for text in texts:
        try:
            compile_pattern(text)
        except ValueError as error:
            raise ValueError(f"{field} {error}") from None


def text_bytes_max(patterns: tuple[str, ...]) -> int:
    """Returns the maximum text length for which all these patterns stay within STEPS_MAX."""
    return STEPS_MAX // max(1, sum(compile_pattern(text).size for text in patterns))


def _error_text(error: Exception) -> str:
    word = error.args[0] if error.args else ""
    return word.decode(errors="replace")[:100] if isinstance(word, bytes) else "it is not text"
