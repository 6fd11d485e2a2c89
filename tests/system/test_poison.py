"""Messages that nobody can read, or that Postgres refuses, are set aside with a reason and block nothing."""

from collections.abc import AsyncIterator
from datetime import timedelta

import msgspec
import nats
import pytest
from nats.aio.client import Client

from libs.bus import subjects
from libs.bus.dead_letters import REASON_HEADER, SUBJECT_HEADER
from libs.model.check import Origin, Result
from libs.model.outcome import Status
from tests.support.oracle import Database
from tests.support.wait import eventually
from tests.system.site import INTERVAL_S, Site, now

POISON = (
    subjects.due(0, "local", "http", "poison-1"),
    subjects.due(0, "local", "http", "poison-2"),
    subjects.result("tenant", "local", "http", "poison-3"),
)
BODIES = (b"\xff\x00 no JSON", b'{"monitor_id": 5}', b"[]")


@pytest.fixture
async def client(site: Site) -> AsyncIterator[Client]:
    client = await nats.connect(site.cluster.nats.url)
    yield client
    await client.close()


@pytest.mark.timeout(150)
async def test_poison_is_set_aside_with_its_reason_while_everything_goes_on(
    site: Site, database: Database, client: Client
) -> None:
    since = now()
    for subject, body in zip(POISON, BODIES, strict=True):
        await client.jetstream().publish(subject, body)
    refused = await _publish_what_postgres_refuses(database, client)
    expected = {*POISON, refused}

    async def all_aside() -> bool:
        return set(await _set_aside(client)) >= expected

    await eventually(all_aside, within_s=60, what="all poison set aside")
    reasons = await _set_aside(client)
    assert all(reasons[subject] for subject in expected)
    await site.ticking(database, now())
    await site.accounted(database, since, now() - timedelta(seconds=INTERVAL_S))


async def _publish_what_postgres_refuses(database: Database, client: Client) -> str:
    """Publishes a result that is well-formed in every way, but for the one character that no text column takes."""
    row = await database.fetchrow("SELECT * FROM monitors ORDER BY id LIMIT 1")
    assert row is not None
    result = Result(
        monitor_id=str(row["id"]),
        tenant_id=str(row["tenant_id"]),
        location="local",
        kind="http",
        revision=row["revision"],
        interval_s=INTERVAL_S,
        origin=Origin.MANUAL,
        tick_at=now(),
        started_at=now(),
        duration_s=0.1,
        status=Status.UP,
        reason="ok",
        detail="a\x00b",
    )
    subject = subjects.result(result.tenant_id, "local", "http", result.monitor_id)
    await client.jetstream().publish(subject, msgspec.json.encode(result))
    return subject


async def _set_aside(client: Client) -> dict[str, str]:
    """Returns the reasons of all messages in ASIDE by the subject on which they were found."""
    stream = client.jetstream()
    state = (await stream.stream_info(subjects.DEAD_LETTERS)).state
    found = [await stream.get_msg(subjects.DEAD_LETTERS, seq) for seq in range(state.first_seq, state.last_seq + 1)]
    headers = [message.headers or {} for message in found]
    return {header[SUBJECT_HEADER]: header[REASON_HEADER] for header in headers}
