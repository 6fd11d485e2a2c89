"""The disk of NATS fills up, so that the server cannot store its own ticks; then there is room again."""

from datetime import timedelta

import asyncpg
import nats
import pytest
from nats.js import JetStreamContext
from nats.js.errors import APIError

from libs.bus import subjects
from tests.support.canned import CannedServer
from tests.support.cluster import Cluster, running_cluster
from tests.support.load import create_monitors, draft
from tests.support.oracle import Database
from tests.support.wait import eventually
from tests.system.site import INTERVAL_S, Site, now

MIB = 1 << 20
# Room for what the streams reserve, and some more.
DISK_BYTES = 320 * MIB
MONITORS = 20


@pytest.mark.timeout(200)
async def test_ticks_resume_when_a_full_disk_has_room_again() -> None:
    with running_cluster(jetstream_bytes_max=DISK_BYTES, VEDETTE_RESULTS_BYTES_MAX=str(16 * MIB)) as cluster:
        site = Site(cluster)
        target = CannedServer(cluster.directory)
        target.start()
        drafts = [draft(f"site {n}", target.url(f"/{n}"), interval_s=INTERVAL_S) for n in range(MONITORS)]
        await create_monitors(cluster.api_port, cluster.key, drafts)
        async with asyncpg.create_pool(cluster.dsn, min_size=1, max_size=2) as database:
            await site.ticking(database, now())
            since = now()
            await _fill_and_free(cluster, database)
            await site.ticking(database, now())
            await site.accounted(database, since, now() - timedelta(seconds=INTERVAL_S))
        target.kill()


async def _fill_and_free(cluster: Cluster, database: Database) -> None:
    """Fills the disk until ticks stop, which takes an interval, and gives it back."""
    client = await nats.connect(cluster.nats.url)
    stream = client.jetstream()
    await stream.add_stream(name="FILLER", subjects=["filler"])
    await _fill(stream)
    with pytest.raises(APIError):
        await stream.publish(subjects.due(0, "elsewhere", "http", "refused"), b"{}")
    full = now()

    async def no_tick_lately() -> bool:
        last = await database.fetchval("SELECT max(tick_at) FROM results WHERE status <> 'missed'")
        return bool(now() - last > timedelta(seconds=1.5 * INTERVAL_S))

    await eventually(no_tick_lately, within_s=6 * INTERVAL_S, what=f"silence after {full}")
    await stream.delete_stream("FILLER")
    await client.close()


async def _fill(stream: JetStreamContext) -> None:
    for size in (MIB - 4096, 4096, 64):
        try:
            for _ in range(DISK_BYTES // size):
                await stream.publish("filler", bytes(size))
        except APIError:
            continue
