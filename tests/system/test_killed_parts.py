"""Each part of a loaded system is killed in turn. It comes back by itself, and the books are whole."""

import asyncio
import contextlib

import pytest

from tests.support import oracle
from tests.support.client import Answer, Api
from tests.support.load import draft
from tests.support.oracle import Database
from tests.system.site import INTERVAL_S, Site, now

PARTS = ("nats-server", "postgres", "http", "results", "gateway")
# What falls due while one of these is away waits for it.
LOSES_NO_TICK = {"postgres", "results", "gateway"}
AWAY_S = 3
NEW = 15


@pytest.mark.timeout(200)
@pytest.mark.parametrize("part", PARTS)
async def test_a_killed_part_comes_back_and_nothing_is_lost_or_doubled(
    site: Site, database: Database, part: str
) -> None:
    kill, start = site.levers(part)
    since = now()
    state = site.turn_shaky()
    async with asyncio.TaskGroup() as group:
        group.create_task(_create_stubbornly(site, part))
        await asyncio.sleep(0.5)
        kill()
        await asyncio.sleep(AWAY_S)
        start()
    back = now()
    await site.ticking(database, back)
    await site.settled(database, shaky=state)
    until = now()
    await site.accounted(database, since, until)
    assert await database.fetchval("SELECT count(*) FROM monitors WHERE name LIKE $1", f"new {part} %") == NEW
    if part in LOSES_NO_TICK:
        assert (await oracle.verdicts(database, since, until))["missed"] == 0


async def _create_stubbornly(site: Site, part: str) -> None:
    """Creates monitors at a steady pace, and asks again with the same key whenever the answer is lost or late."""
    async with Api(site.cluster.api_port, site.cluster.key, timeout_s=8) as api, asyncio.timeout(90):
        for number in range(NEW):
            body = draft(f"new {part} {number}", site.steady.url(f"/new/{number}"), interval_s=INTERVAL_S)
            while not await _accepted(api, body, f"{part}-{number}"):
                await asyncio.sleep(0.2)
            await asyncio.sleep(0.2)


async def _accepted(api: Api, body: dict[str, object], key: str) -> bool:
    answer: Answer | None = None
    with contextlib.suppress(OSError, EOFError, TimeoutError):
        answer = await api.ask("POST", "/api/v2/monitors", body, idempotency_key=f'"{key}"')
    assert answer is None or answer.status in {201, 500, 503, 504}, answer
    return answer is not None and answer.status == 201
