"""The pipeline of the results room on real servers, with monitors, and results as probers would publish them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from faststream.nats import NatsRouter

from libs.bus import provisioning, stream_configs, subjects
from libs.bus.client.message import Message
from libs.bus.connection import Bus
from libs.model.check import Origin, Result
from libs.model.ids import tick_id
from libs.model.interval import phase_s as phase_of
from libs.model.interval import tick_at_or_before
from libs.model.monitor import MonitorChange, MonitorView
from libs.model.outcome import Hop, Status
from libs.model.requests.messages import ChangeMonitor, CreateMonitor, DeleteMonitor
from libs.process.health import Health
from libs.process.service import ServiceContext
from libs.process.settings import Settings
from libs.store.core.migrate import migrate
from libs.store.core.pool import Store, open_store
from libs.store.tenancy import tenants
from services.results.background import BackgroundWork, background_work
from services.results.monitors.monitor_handlers import MonitorHandlers
from services.results.tenancy.quotas import QuotaPolicy
from tests.support.room import Clock, draft
from tests.support.wait import eventually

TENANT = "00000000-0000-7000-8000-000000000001"


@dataclass
class Pipe:
    """An open store and bus, a tenant, and what tests do with them."""

    store: Store
    bus: Bus
    clock: Clock
    settings: Settings

    @property
    def context(self) -> ServiceContext:
        return ServiceContext(self.bus, self.settings, Health(), self.clock)

    @property
    def monitors(self) -> MonitorHandlers:
        return MonitorHandlers(self.store, self.clock, QuotaPolicy(shards=self.settings.shards), lambda: None)

    async def add(self, **fields: Any) -> MonitorView:
        return await self.monitors.create(CreateMonitor(tenant_id=TENANT, draft=draft(**fields)))

    async def change(self, monitor: MonitorView, **fields: Any) -> MonitorView:
        change = MonitorChange(**fields)
        return await self.monitors.change(ChangeMonitor(tenant_id=TENANT, monitor_id=monitor.id, change=change))

    async def remove(self, monitor: MonitorView) -> None:
        await self.monitors.delete(DeleteMonitor(tenant_id=TENANT, monitor_id=monitor.id))

    async def publish(self, results: Sequence[Result]) -> None:
        assert await self.bus.publish_all([message(result) for result in results]) == []

    async def rows(self, sql: str, *args: object) -> list[dict[str, Any]]:
        async with self.store.connection() as db:
            return [dict(row.items()) for row in await db.rows(sql, *args)]

    async def value(self, sql: str, *args: object) -> Any:
        async with self.store.connection() as db:
            return await db.value(sql, *args)

    async def state(self, monitor: MonitorView) -> str:
        return str(await self.value("SELECT status FROM states WHERE monitor_id = $1", monitor.id))

    async def ingested(self, within_s: float = 30) -> None:
        """Returns once the ingest has acknowledged everything that is in the stream.

        The sequence decides, not the count of pending messages: the server learns that count a moment after it has
        accepted a message, and says 0 until then.
        """
        last = (await self.bus.jetstream.stream_info(subjects.RESULTS)).state.last_seq

        async def done() -> bool:
            info = await self.bus.jetstream.consumer_info(subjects.RESULTS, stream_configs.INGEST_CONSUMER)
            return info.ack_floor is not None and info.ack_floor.stream_seq >= last

        await eventually(done, within_s=within_s, what="everything ingested", every_s=0.05)

    async def stored(self, stream: str) -> int:
        return (await self.bus.jetstream.stream_info(stream)).state.messages


def result(monitor: MonitorView, tick_at: datetime, status: Status = Status.UP, **fields: Any) -> Result:
    plain: dict[str, Any] = {
        "monitor_id": monitor.id,
        "tenant_id": TENANT,
        "location": "local",
        "kind": "http",
        "revision": monitor.revision,
        "interval_s": monitor.interval_s,
        "origin": Origin.TICK,
        "tick_at": tick_at,
        "started_at": tick_at + timedelta(milliseconds=3),
        "duration_s": 0.02,
        "status": status,
        "reason": "ok" if status is Status.UP else "refused",
        "samples": {"total_s": 0.02},
        "hops": [
            Hop(target="http://127.0.0.1/", address="127.0.0.1", phases={"connect": 0.001}, facts={"status": 200})
        ],
        "prober": "p",
    }
    return Result(**plain | fields)


def message(result: Result, *, identity: str | None = None) -> Message:
    """Returns the result as a prober publishes it; `identity` in place of its own gets it past the server's filter."""
    subject = subjects.result(result.tenant_id, result.location, result.kind, result.monitor_id)
    return Message(subject, msgspec.json.encode(result), identity or tick_id(*_identity(result)))


def last_tick(monitor: MonitorView, now: datetime, location: str = "local") -> datetime:
    phase = phase_of(monitor.id, location, monitor.interval_s)
    return tick_at_or_before(now, monitor.interval_s, phase)


def _identity(result: Result) -> tuple[str, str, datetime]:
    return result.monitor_id, result.location, result.tick_at


@asynccontextmanager
async def open_pipe(nats_url: str, postgres_dsn: str, **settings: Any) -> AsyncIterator[Pipe]:
    """Opens servers' clients only; nothing runs by itself yet."""
    await migrate(postgres_dsn)
    async with open_store(postgres_dsn) as store, Bus.open(nats_url, name="test") as bus:
        clock = Clock()
        clock.now = datetime.now(UTC)
        chosen = Settings(nats_url=nats_url, postgres_dsn=postgres_dsn, **settings)
        async with store.transaction() as db:
            await tenants.add(db, TENANT, "tests")
        await provisioning.provision(bus, results_bytes_max=chosen.results_bytes_max)
        yield Pipe(store, bus, clock, chosen)


@asynccontextmanager
async def flowing(pipe: Pipe) -> AsyncIterator[BackgroundWork]:
    """Runs the whole pipeline beside the test."""
    router = NatsRouter()
    async with background_work(pipe.context, pipe.store, router) as running:
        pipe.bus.broker.include_router(router)
        await pipe.bus.start()
        try:
            yield running
        finally:
            for subscriber in router.subscribers:
                await subscriber.stop()
