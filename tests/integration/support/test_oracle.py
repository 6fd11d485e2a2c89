"""The oracle sees a lost tick, a tick too many, and a history that contradicts itself."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from libs.store.core.migrate import migrate
from tests.bench.end_to_end import monitors
from tests.bench.end_to_end.options import Options
from tests.support import oracle
from tests.support.canned import CannedServer
from tests.support.oracle import Database
from tests.support.servers import scratch

OPTIONS = Options(monitors=1, interval_s=10, seconds=0, hanging=0, probers=1, reads_per_s=1, json=None)
# Every tick after $1, of a grid that began two minutes before.
_TICKS = """
    INSERT INTO results
    SELECT monitor_id, location, at, 'tick', 1, interval_s, 'up', 'ok', '', at, 0, '{}', '[]', ''
    FROM schedules, generate_series(
        to_timestamp(floor(extract(epoch FROM $1::timestamptz) / 10) * 10 - 120 + phase_s), now(), '10 s'
    ) AS at WHERE at > $1
"""
_TRANSITION = "INSERT INTO transitions SELECT gen_random_uuid(), id, $1, $2, $3, '' FROM monitors"


@pytest.fixture
async def database(postgres_dsn: str) -> AsyncIterator[Database]:
    """One monitor at 10 s with all its ticks."""
    await migrate(postgres_dsn)
    async with asyncpg.create_pool(postgres_dsn, min_size=1, max_size=2) as pool:
        await pool.execute("INSERT INTO tenants (id, name) VALUES (gen_random_uuid(), 'one')")
        await pool.execute("CREATE TABLE all_results PARTITION OF results DEFAULT")
        with scratch("oracle") as directory:
            await monitors.create(pool, OPTIONS, CannedServer(directory))
        await pool.execute("UPDATE schedules SET phase_s = 3")
        yield pool


async def test_a_lost_tick_and_one_too_many_are_seen(database: Database) -> None:
    until = datetime.now(UTC)
    since = until - timedelta(minutes=1)
    await database.execute("UPDATE schedules SET since_at = $1", since)
    await database.execute("UPDATE monitors SET created_at = $1", since - timedelta(hours=1))
    await database.execute(_TICKS, since)
    assert await oracle.wrong_ticks(database, since, until) == []
    await database.execute("DELETE FROM results WHERE tick_at = (SELECT max(tick_at) FROM results)")
    await database.execute(
        "UPDATE results SET tick_at = tick_at + '1 s' WHERE tick_at = (SELECT min(tick_at) FROM results)"
    )
    assert len(await oracle.wrong_ticks(database, since, until)) == 3


async def test_a_doubled_transition_is_seen(database: Database) -> None:
    now = datetime.now(UTC)
    await database.execute(_TRANSITION, now, "pending", "up")
    await database.execute("UPDATE states SET status = 'up'")
    assert await oracle.wrong_transitions(database) == []
    await database.execute(_TRANSITION, now + timedelta(seconds=1), "pending", "up")
    assert len(await oracle.wrong_transitions(database)) == 1
