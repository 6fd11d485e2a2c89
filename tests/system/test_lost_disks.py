"""What is lost with NATS comes back from Postgres; what Postgres cannot take waits in NATS."""

import asyncio

import pytest

from tests.support import oracle
from tests.support.oracle import Database
from tests.system.site import INTERVAL_S, Site, now


@pytest.mark.timeout(200)
async def test_schedules_come_back_from_postgres_when_the_disk_of_nats_is_lost(site: Site, database: Database) -> None:
    since = now()
    site.cluster.nats.kill()
    site.cluster.nats.wipe()
    site.cluster.nats.start()
    await site.ticking(database, now())
    # The stream of events is new, too, so only the tables can be held against each other.
    await site.accounted(database, since, now(), events=False)


@pytest.mark.timeout(200)
async def test_results_wait_in_nats_while_postgres_is_away(site: Site, database: Database) -> None:
    since = now()
    state = site.turn_shaky()
    site.cluster.postgres.kill()
    await asyncio.sleep(4 * INTERVAL_S)  # longer than the time after which a tick is written off
    site.cluster.postgres.start()
    back = now()
    await site.ticking(database, back)
    await site.settled(database, shaky=state)
    await site.accounted(database, since, back, events=False)
    verdicts = await oracle.verdicts(database, since, back)
    assert verdicts["missed"] == 0
    assert verdicts["unknown"] == 0
