"""A cluster that watches two targets, and the questions that fault tests ask of it."""

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime

import asyncpg

from tests.support import oracle
from tests.support.canned import CannedServer
from tests.support.cluster import Cluster
from tests.support.load import create_monitors, draft
from tests.support.oracle import Database
from tests.support.wait import eventually

INTERVAL_S = 10
STEADY, SHAKY = 100, 100

# A tick is written off two intervals and a margin after it was due; the sweep comes round every few seconds.
ACCOUNTED_WITHIN_S = 90


class Site:
    """The cluster, and its two targets: `steady` is never stopped, `shaky` is stopped and started by tests."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.steady = CannedServer(cluster.directory)
        self.shaky = CannedServer(cluster.directory)
        self.steady_id = ""

    @contextlib.contextmanager
    def targets(self) -> Iterator[None]:
        try:
            self.steady.start()
            self.shaky.start()
            yield
        finally:
            self.steady.kill()
            self.shaky.kill()

    async def fill(self) -> None:
        """Creates the monitors and waits until all are up."""
        drafts = [draft(f"steady {n}", self.steady.url(f"/{n}"), interval_s=INTERVAL_S) for n in range(STEADY)]
        drafts += [draft(f"shaky {n}", self.shaky.url(f"/{n}"), interval_s=INTERVAL_S) for n in range(SHAKY)]
        await create_monitors(self.cluster.api_port, self.cluster.key, drafts)
        async with asyncpg.create_pool(self.cluster.dsn, min_size=1, max_size=2) as database:
            await self.settled(database, shaky="up")
            self.steady_id = str(await database.fetchval("SELECT id FROM monitors WHERE name = 'steady 0'"))

    def levers(self, part: str) -> tuple[Callable[[], None], Callable[[], None]]:
        """Returns what kills this part, and what starts it again; the start waits until it serves."""
        if part == "nats-server":
            return self.cluster.nats.kill, self.cluster.nats.start
        if part == "postgres":
            return self.cluster.postgres.kill, self.cluster.postgres.start
        service = self.cluster.services[part]

        def start() -> None:
            service.start()
            service.wait_ready()

        return service.kill, start

    def turn_shaky(self) -> str:
        """Stops the shaky target, or starts it; returns the state that its monitors must come to."""
        if self.shaky.process.running:
            self.shaky.kill()
            return "down"
        self.shaky.start()
        return "up"

    async def settled(self, database: Database, *, shaky: str) -> None:
        """Waits until every monitor has the state that its target deserves."""
        query = """
            SELECT count(*) FROM monitors m JOIN states s ON s.monitor_id = m.id
            WHERE m.deleted_at IS NULL AND s.status <> CASE WHEN m.name LIKE 'shaky%' THEN $1 ELSE 'up' END
        """

        async def none_differs() -> bool:
            return bool(await database.fetchval(query, shaky) == 0)

        await eventually(none_differs, within_s=60, what=f"steady monitors up, shaky ones {shaky}", every_s=0.3)

    async def ticking(self, database: Database, after: datetime) -> None:
        """Waits until every monitor has been probed at a tick later than `after`."""
        query = """
            SELECT count(DISTINCT monitor_id) FROM results
            WHERE origin = 'tick' AND status <> 'missed' AND tick_at > $1
        """

        async def all_tick() -> bool:
            monitors = await database.fetchval("SELECT count(*) FROM monitors WHERE deleted_at IS NULL")
            return bool(await database.fetchval(query, after) == monitors)

        await eventually(all_tick, within_s=60, what="a result of every monitor", every_s=0.3)

    async def accounted(self, database: Database, since: datetime, until: datetime, *, events: bool = True) -> None:
        """Waits until every tick is written, one way or the other; then nothing else may be wrong either."""
        await _nothing_wrong(lambda: oracle.wrong_ticks(database, since, until))
        await _nothing_wrong(lambda: oracle.wrong_transitions(database))
        if events:
            await _nothing_wrong(lambda: oracle.wrong_events(database, self.cluster.nats.url, since))


def now() -> datetime:
    return datetime.now(UTC)


async def _nothing_wrong(ask: Callable[[], Awaitable[list[str]]]) -> None:
    wrong: list[str] = []

    async def nothing() -> bool:
        wrong[:] = await ask()
        return not wrong

    try:
        await eventually(nothing, within_s=ACCOUNTED_WITHIN_S, what="nothing wrong", every_s=0.5)
    except AssertionError as late:
        raise AssertionError("\n".join([f"{len(wrong)} faults", *wrong[:20]])) from late
