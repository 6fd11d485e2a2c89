"""Monitors in number, made through the API as a user would."""

import asyncio
from collections.abc import Iterable
from typing import Any

from tests.support.client import Api

_CONNECTIONS = 8


def draft(name: str, url: str, *, interval_s: int = 10, timeout_s: float = 3) -> dict[str, Any]:
    """Returns the body of `POST /monitors` for one web address."""
    spec = {"kind": "http", "url": url}
    return {"name": name, "interval_s": interval_s, "timeout_s": timeout_s, "spec": spec}


async def create_monitors(port: int, key: str, drafts: Iterable[dict[str, Any]]) -> list[str]:
    """Creates all of them over a few connections and returns their ids."""
    waiting = iter(drafts)
    ids: list[str] = []

    async def work() -> None:
        async with Api(port, key) as api:
            ids.extend([(await api.post("/api/v2/monitors", body))["id"] for body in waiting])

    async with asyncio.TaskGroup() as group:
        for _ in range(_CONNECTIONS):
            group.create_task(work())
    return ids
