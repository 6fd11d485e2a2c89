"""A client of the live stream whose gateway is killed comes back later, and has missed nothing."""

from datetime import datetime

import pytest

from libs.model.interval import ticks_between
from tests.support.client import Api
from tests.support.oracle import Database
from tests.system.site import Site, now


@pytest.mark.timeout(120)
async def test_a_stream_goes_on_after_the_last_event_that_was_seen(site: Site, database: Database) -> None:
    path = f"/api/v2/results/stream?monitor={site.steady_id}"
    kill, start = site.levers("gateway")
    async with Api(site.cluster.api_port, site.cluster.key).events(path) as events:
        first = await anext(events)
    kill()
    await site.ticking(database, now())
    start()
    back = now()
    seen = [_tick_of(first.data)]
    async with Api(site.cluster.api_port, site.cluster.key).events(path, last_event_id=first.id) as events:
        async for event in events:
            assert event.event == "result"
            seen.append(_tick_of(event.data))
            if seen[-1] > back:
                break
    row = await database.fetchrow("SELECT * FROM schedules WHERE monitor_id = $1", site.steady_id)
    assert row is not None
    assert seen[1:] == list(ticks_between(seen[0], seen[-1], row["interval_s"], row["phase_s"]))


def _tick_of(result: dict[str, str]) -> datetime:
    return datetime.fromisoformat(result["tick_at"])
