"""Puts the bench's monitors straight into the tables.

The rows are those that `POST /monitors` writes, without the immediate first check; the results room finds the
schedules unpublished and publishes them, as after the loss of NATS. Sixty thousand requests would measure something
else, for a minute longer.
"""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg

from libs.model.ids import new_id
from libs.model.interval import phase_s
from tests.bench.end_to_end.options import Options
from tests.support.canned import ADDRESSES, CannedServer

LOCATION = "local"
TIMEOUT_S = 5.0

_NOTHING_SEEN = {
    "location": LOCATION,
    "down_run": 0,
    "bad_run": 0,
    "up_run": 0,
    "changes": 0,
    "flapping": False,
    "last_class": "",
}

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"


async def create(pool: Pool, options: Options, target: CannedServer) -> list[str]:
    """Returns the ids of the monitors; the first `options.hanging_monitors` of them watch a target that hangs."""
    tenant_id = await pool.fetchval("SELECT id FROM tenants")
    now = datetime.now(UTC)
    ids = [new_id() for _ in range(options.monitors)]
    rows = [_monitor(number, ids[number], options, target) for number in range(options.monitors)]
    schedules = [_schedule(monitor_id, options.interval_s, now) for monitor_id in ids]
    pending = [{"monitor_id": UUID(each), "status": "pending", "since_at": now, "reason": ""} for each in ids]
    async with pool.acquire() as connection, connection.transaction():
        shared = {"tenant_id": tenant_id, "created_at": now, "updated_at": now}
        await _copy(connection, "monitors", [row | shared for row in rows])
        await _copy(connection, "schedules", schedules)
        await _copy(connection, "states", pending)
        await _copy(connection, "confirmations", [row | _NOTHING_SEEN for row in pending])
    await pool.execute("ANALYZE monitors, schedules, states, confirmations")
    return ids


async def published(pool: Pool) -> int:
    """Returns how many schedules NATS has."""
    return int(await pool.fetchval("SELECT count(*) FROM schedules WHERE published_version = version"))


async def await_published(pool: Pool, options: Options, within_s: float, on_progress: Any) -> None:
    async with asyncio.timeout(within_s):
        while (done := await published(pool)) < options.monitors:
            on_progress(done)
            await asyncio.sleep(0.5)


def _monitor(number: int, monitor_id: str, options: Options, target: CannedServer) -> dict[str, Any]:
    hanging = number < options.hanging_monitors
    url = target.url(f"/{'hang' if hanging else 'ok'}/{number}", ADDRESSES[number % len(ADDRESSES)])
    return {
        "id": UUID(monitor_id),
        "kind": "http",
        "name": f"bench {number}",
        "target": url,
        "interval_s": options.interval_s,
        "timeout_s": TIMEOUT_S,
        "locations": [LOCATION],
        "enabled": True,
        "labels": json.dumps({"bench": "hanging" if hanging else "healthy"}),
        "spec": json.dumps({"kind": "http", "url": url}),
    }


def _schedule(monitor_id: str, interval_s: int, now: datetime) -> dict[str, Any]:
    return {
        "monitor_id": UUID(monitor_id),
        "location": LOCATION,
        "active": True,
        "shard": 0,
        "interval_s": interval_s,
        "phase_s": phase_s(monitor_id, LOCATION, interval_s),
        "since_at": now,
    }


async def _copy(connection: Any, table: str, rows: list[dict[str, Any]]) -> None:
    records = [tuple(row.values()) for row in rows]
    await connection.copy_records_to_table(table, records=records, columns=list(rows[0]))
