"""Ending tasks that run beside a service."""

import asyncio
from collections.abc import Iterable
from typing import Any

_RETRY_S = 2.0


async def cancel_and_wait(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancels `tasks` and returns when they have ended, however they do.

    One cancellation may not be enough: `asyncio.wait_for` of Python 3.11, on which nats-py waits for its answers,
    loses the one that comes together with the answer.
    """
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=_RETRY_S)
