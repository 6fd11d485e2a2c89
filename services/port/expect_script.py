"""Expect scripts: user-defined send and expect steps. Pure."""

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import re2  # type: ignore[import-untyped]

from services.port.protocol_api import (
    CloseSequence,
    ProtocolContext,
    ProtocolGenerator,
    ReadChunk,
    ReadLine,
    Send,
    StartTls,
    UnexpectedAnswer,
    printable,
)

STEPS_MAX = 32
TEXT_LENGTH_MAX = 1024
# With the bytes that a session may receive, even a hostile pattern takes half a second at most.
PROGRAM_SIZE_MAX = 512
# Of all sends together. A capture may be long, and be inserted many times.
SENT_BYTES_MAX = 64 * 1024
_PLACEHOLDER = re.compile(r"\$\{(\w+)\}")


class ScriptStep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    r"""One step; exactly one of the three is given.

    `send` is a text in which `${name}` stands for a capture of an earlier `expect`, by name or number; a line end is
    written as \r\n in JSON. `expect` is an RE2 pattern that a line must match; lines that do not match are skipped.
    `starttls` starts TLS.
    """

    send: str | None = None
    expect: str | None = None
    starttls: bool = False


class _PatternMatch(Protocol):
    def group(self) -> bytes: ...

    def groups(self) -> tuple[bytes | None, ...]: ...

    def groupdict(self) -> dict[str, bytes | None]: ...


@dataclass(frozen=True, slots=True)
class ExpectScript:
    """A protocol that runs validated steps."""

    steps: tuple[ScriptStep, ...]

    def __call__(self, context: ProtocolContext) -> ProtocolGenerator:
        captured: dict[str, bytes] = {}
        left_bytes = SENT_BYTES_MAX
        for step in self.steps:
            if step.send is not None:
                data = _substitute(step.send, captured, left_bytes)
                left_bytes -= len(data)
                yield Send(data)
            elif step.starttls:
                yield StartTls()
            else:
                match = None
                while match is None:
                    line = yield ReadChunk() if context.over_udp else ReadLine()
                    context.facts["last_line"] = printable(line)
                    match = _search(step.expect or "", line)
                captured |= _captures(match)
        context.facts |= {
            f"captured_{name}": printable(value) for name, value in captured.items() if not name.isdigit()
        }
        return CloseSequence()


def check_steps(steps: Sequence[ScriptStep]) -> None:
    """Raises ValueError, which begins with the field's name, if a step cannot be executed."""
    _check_script(steps)
    known: set[str] = set()
    for index, step in enumerate(steps):
        field = f"steps[{index}]"
        given = (step.send is not None) + (step.expect is not None) + step.starttls
        if given != 1:
            raise ValueError(f"{field} must have one of send, expect and starttls, not {given}")
        _check_text(field, step)
        if step.starttls and not known:
            raise ValueError(f"{field}.starttls must come after an expect: the peer has to agree to it")
        if step.expect is not None:
            known |= _check_pattern(field, step.expect)
        unknown = set(_PLACEHOLDER.findall(step.send or "")) - known
        if unknown:
            raise ValueError(f"{field}.send names {min(unknown)!r}, which no expect before it captures")


def _check_script(steps: Sequence[ScriptStep]) -> None:
    if len(steps) > STEPS_MAX:
        raise ValueError(f"steps must be at most {STEPS_MAX}")
    if sum(len(_PLACEHOLDER.sub("", step.send or "").encode()) for step in steps) > SENT_BYTES_MAX:
        raise ValueError(f"steps must send at most {SENT_BYTES_MAX} bytes in all")
    if sum(step.starttls for step in steps) > 1:
        raise ValueError("steps must have starttls once")


def _check_text(field: str, step: ScriptStep) -> None:
    for name in ("send", "expect"):
        text = getattr(step, name)
        if text is not None and not 1 <= len(text) <= TEXT_LENGTH_MAX:
            raise ValueError(f"{field}.{name} must have 1 to {TEXT_LENGTH_MAX} characters")


def _check_pattern(field: str, text: str) -> set[str]:
    """Returns the names and numbers of the pattern's captures."""
    try:
        pattern = _compile(text)
    except (re2.error, UnicodeEncodeError) as error:
        raise ValueError(f"{field}.expect must be a pattern of RE2: {error}") from None
    if max(pattern.programsize, pattern.reverseprogramsize) > PROGRAM_SIZE_MAX:
        raise ValueError(f"{field}.expect must be a simpler pattern")
    return {*pattern.groupindex, *map(str, range(pattern.groups + 1))}


def _search(text: str, line: bytes) -> _PatternMatch | None:
    found: _PatternMatch | None = _compile(text).search(line)
    return found


def _captures(match: _PatternMatch) -> dict[str, bytes]:
    numbered = {str(index): value for index, value in enumerate((match.group(), *match.groups()))}
    return {name: value or b"" for name, value in (numbered | match.groupdict()).items()}


def _substitute(text: str, captured: dict[str, bytes], bytes_max: int) -> bytes:
    """Returns the bytes to send: the text as UTF-8, with captures inserted exactly as they were received."""
    parts = _PLACEHOLDER.split(text)
    data = [captured[part] if index % 2 else part.encode() for index, part in enumerate(parts)]
    if sum(map(len, data)) > bytes_max:
        raise UnexpectedAnswer(f"With the captured texts the script would send more than {SENT_BYTES_MAX // 1024} KiB")
    return b"".join(data)


@functools.lru_cache(maxsize=256)
def _compile(text: str) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    return re2.compile(text, options)
