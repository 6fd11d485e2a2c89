"""JSON paths such as `a.b`, `items[0].state` and `["a key"][-1]`, optionally with a leading `$`. Pure."""

import functools
import re
from typing import Any

import msgspec

PATH_LENGTH_MAX = 256

_STEP = re.compile(
    r"""(?P<dot>\.?)(?P<name>[^\s.\[\]"'$@*?(),:]+)
      | \[(?P<index>-?(?:0|[1-9][0-9]{0,8}))\]
      | \[(?P<quoted>"(?:[^"\\]|\\.)*"|'[^'\\]*')\]""",
    re.VERBOSE,
)
MISSING = msgspec.UNSET


@functools.lru_cache(maxsize=1024)
def parse_path(path: str) -> tuple[str | int, ...]:
    """Returns the keys and indexes of a path; ValueError, whose message starts with a verb, if it is invalid."""
    if len(path) > PATH_LENGTH_MAX:
        raise ValueError(f"must have paths of at most {PATH_LENGTH_MAX} characters")
    rooted = path.startswith("$")
    at = 1 if rooted else 0
    found: list[str | int] = []
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None or (step["name"] is not None and not step["dot"] and (found or rooted)):
            raise _path_error(path)
        if step["dot"] and not found and not rooted:
            raise _path_error(path)
        found.append(_parse_step(path, step))
        at = step.end()
    if not found and not rooted:
        raise _path_error(path)
    return tuple(found)


def value_at(document: Any, path: str) -> Any:
    """Returns the value at `path`, or MISSING. Numeric keys are not indexes, nor the reverse."""
    for step in parse_path(path):
        if isinstance(step, str):
            if not isinstance(document, dict) or step not in document:
                return MISSING
        elif not isinstance(document, list) or not -len(document) <= step < len(document):
            return MISSING
        document = document[step]
    return document


def _parse_step(path: str, step: re.Match[str]) -> str | int:
    if step["name"] is not None:
        return step["name"]
    if step["index"] is not None:
        return int(step["index"])
    quoted = step["quoted"]
    if quoted.startswith("'"):
        return quoted[1:-1]
    try:
        return msgspec.json.decode(quoted, type=str)
    except msgspec.DecodeError:
        raise _path_error(path) from None


def _path_error(path: str) -> ValueError:
    return ValueError(f'must have paths such as status, items[0].state or ["a key"][-1], not {path[:40]!r}')
