"""Waiting for an event, always with a deadline."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


class TooLateError(AssertionError):
    """What was waited for did not come in time."""


def wait_until(found: Callable[[], T | None], *, within_s: float, what: str, every_s: float = 0.02) -> T:
    """Returns the first true answer of `found`, asked again and again until the deadline."""
    deadline = time.monotonic() + within_s
    while not (answer := found()):
        if time.monotonic() > deadline:
            raise TooLateError(f"{what}: not within {within_s} s")
        time.sleep(every_s)
    return answer


async def eventually(
    found: Callable[[], Awaitable[T | None]], *, within_s: float, what: str, every_s: float = 0.1
) -> T:
    """Returns the first true answer of the coroutine function `found`, asked again and again until the deadline."""
    answer: T | None = None
    try:
        async with asyncio.timeout(within_s):
            while not (answer := await found()):
                await asyncio.sleep(every_s)
    except TimeoutError:
        raise TooLateError(f"{what}: not within {within_s} s, last seen {answer!r}") from None
    return answer
