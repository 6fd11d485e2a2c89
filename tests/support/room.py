"""The request-answering side of the results room on real servers, and what tests ask of it."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from faststream.nats import NatsRouter

from libs.bus.connection import Bus
from libs.model.monitor import MonitorChange, MonitorDraft, MonitorView
from libs.model.outcome import Status
from libs.model.requests.base import RpcRequest
from libs.model.requests.errors import ErrorInfo, RequestError
from libs.model.requests.messages import ChangeMonitor, CreateMonitor, DeleteMonitor, GetMonitor
from libs.model.tenancy import Quota
from libs.store.core.migrate import migrate
from libs.store.core.pool import Store, open_store
from libs.store.ingest import partitions
from libs.store.tenancy import tenants
from services.results import request_router
from services.results.tenancy.quotas import QuotaPolicy

_numbers = itertools.count(1)
_ADD_RESULT = """
INSERT INTO results (monitor_id, location, tick_at, origin, revision, interval_s, status, reason, detail, started_at,
                     duration_s, samples, hops, prober)
VALUES ($1, $2, $3, 'tick', 1, $4, $5, 'ok', '', $3, 0.1, '{"total_s": 0.1}', '[{"target": "http://x/"}]', 'p')
"""


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0)

    def __call__(self) -> datetime:
        return self.now

    def move(self, **length: float) -> None:
        self.now += timedelta(**length)


@dataclass
class Room:
    """The room as another room sees it (`ask`), and its database."""

    bus: Bus
    store: Store
    clock: Clock
    tenant_id: str

    async def ask(self, request: RpcRequest[Any]) -> Any:
        return await self.bus.request(request)

    async def refused(self, request: RpcRequest[Any]) -> ErrorInfo:
        """Returns the refusal of a request that must be refused."""
        try:
            await self.bus.request(request)
        except RequestError as error:
            return error.info
        raise AssertionError(f"not refused: {request}")

    async def create(self, **fields: Any) -> MonitorView:
        return await self.bus.request(CreateMonitor(tenant_id=self.tenant_id, draft=draft(**fields)))

    async def change(self, monitor_id: str, **fields: Any) -> MonitorView:
        change = MonitorChange(**fields)
        return await self.bus.request(ChangeMonitor(tenant_id=self.tenant_id, monitor_id=monitor_id, change=change))

    async def remove(self, monitor_id: str) -> None:
        await self.bus.request(DeleteMonitor(tenant_id=self.tenant_id, monitor_id=monitor_id))

    async def get(self, monitor_id: str) -> MonitorView:
        return await self.bus.request(GetMonitor(tenant_id=self.tenant_id, monitor_id=monitor_id))

    async def rows(self, sql: str, *args: object) -> list[dict[str, Any]]:
        async with self.store.connection() as db:
            return [dict(row.items()) for row in await db.rows(sql, *args)]

    async def add_tenant(self) -> str:
        tenant_id = f"00000000-0000-7000-8000-{next(_numbers):012}"
        async with self.store.transaction() as db:
            await tenants.add(db, tenant_id, f"tenant {tenant_id}")
        return tenant_id

    async def add_result(
        self, monitor_id: str, tick_at: datetime, status: Status = Status.UP, *, location: str = "local"
    ) -> None:
        """Stores a tick of a minute, as the ingest would."""
        async with self.store.transaction() as db:
            await db.run(_ADD_RESULT, monitor_id, location, tick_at, 60, status)
            await db.run(
                "UPDATE confirmations SET last_tick_at = $3, ticked_at = $3 WHERE monitor_id = $1 AND location = $2",
                *(monitor_id, location, tick_at),
            )


def draft(**fields: Any) -> MonitorDraft:
    plain: dict[str, Any] = {
        "name": f"site {next(_numbers)}",
        "kind": "http",
        "target": "http://127.0.0.1/",
        "interval_s": 60,
        "timeout_s": 5.0,
        "spec": spec(url="http://127.0.0.1/"),
    }
    return MonitorDraft(**plain | fields)


def spec(**fields: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode({"kind": "http", **fields}))


async def somebody_waits(store: Store) -> None:
    """Returns when somebody waits for a lock in the database."""
    async with asyncio.timeout(5):
        while True:
            async with store.connection() as db:
                if await db.value("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"):
                    return
            await asyncio.sleep(0.01)


@asynccontextmanager
async def open_room(nats_url: str, postgres_dsn: str, *, quota: Quota | None = None) -> AsyncIterator[Room]:
    """Opens the room; `quota` is that of tenants without their own."""
    await migrate(postgres_dsn)
    async with open_store(postgres_dsn) as store, Bus.open(nats_url, name="test") as bus:
        clock, router = Clock(), NatsRouter()
        today = clock.now.date()
        async with store.transaction() as db:
            await partitions.create(db, [today + timedelta(days=day) for day in range(-3, 3)])
        terms = QuotaPolicy(shards=2, quota=quota or Quota())
        request_router.register_handlers(router, request_router.build_handlers(store, bus, clock, terms, lambda: None))
        bus.broker.include_router(router)
        await bus.start()
        room = Room(bus, store, clock, "")
        room.tenant_id = await room.add_tenant()
        yield room
