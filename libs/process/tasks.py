"""Cancellation of background tasks."""

import asyncio
from collections.abc import Iterable
from typing import Any

_RETRY_S = 2.0


async def cancel_and_wait(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancels `tasks` and returns when they have ended, in whatever state.

    One cancellation may not be enough: in Python 3.11 `asyncio.wait_for`, which nats-py uses, loses a cancellation that
    coincides with the result.
    """
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=_RETRY_S)
