"""Parsing of the option `expect_status`. Pure."""

import functools
import re

STATUSES_MAX = 32

_STATUS = re.compile(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?")


@functools.lru_cache(maxsize=1024)
def status_ranges(expected: tuple[int | str, ...]) -> tuple[range, ...]:
    """Returns the ranges of `expect_status`; ValueError if an entry is neither a status nor a range."""
    if not 1 <= len(expected) <= STATUSES_MAX:
        raise ValueError(f"expect_status must have 1 to {STATUSES_MAX} entries")
    return tuple(_status_range(entry) for entry in expected)


def _status_range(entry: int | str) -> range:
    match = _STATUS.fullmatch(str(entry))
    if match is None:
        raise ValueError('expect_status must hold statuses from 100 to 599, such as 204, or ranges, such as "200-299"')
    first, last = int(match.group(1)), int(match.group(2) or match.group(1))
    if last < first:
        raise ValueError(f"expect_status must hold ranges with the lower status first, not {entry!r}")
    return range(first, last + 1)
