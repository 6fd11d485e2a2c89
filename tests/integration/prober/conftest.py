"""Fixtures: a prober of a fake kind on a real bus, with a probe controlled by the test."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Self

import msgspec
import pytest
from nats.errors import Error as NatsError

from libs.bus import provisioning, schedules
from libs.bus.connection import Bus
from libs.model.check import Check, Origin, Result
from libs.model.outcome import Outcome, Status
from libs.model.spec import Spec
from libs.prober.service import prober
from libs.process.health import Health
from libs.process.service import RunningService, ServiceContext
from libs.process.settings import Settings

RESULTS_BYTES = 64 * 1024 * 1024
UP = Outcome(status=Status.UP, reason="ok")


class FakeSpec(Spec, frozen=True, kw_only=True, tag="fake"):
    """Spec of a target that the test simulates."""

    name: str


class FakeProbe:
    """Probe that records its calls and returns the result of `answer`, by default `up` at once."""

    def __init__(self) -> None:
        self.open = False
        self.started: list[str] = []
        self.changed = asyncio.Condition()
        self.answer: Callable[[FakeSpec], Awaitable[Outcome]] = _up

    async def __aenter__(self) -> Self:
        self.open = True
        return self

    async def __aexit__(self, *_: object) -> None:
        self.open = False

    async def __call__(self, spec: FakeSpec, _timeout_s: float) -> Outcome:
        assert self.open
        async with self.changed:
            self.started.append(spec.name)
            self.changed.notify_all()
        return await self.answer(spec)

    async def wait_started(self, count: int) -> None:
        async with asyncio.timeout(20), self.changed:
            await self.changed.wait_for(lambda: len(self.started) >= count)


class ProberHarness:
    """A running prober with helpers to publish checks and to wait for results."""

    def __init__(self, bus: Bus, probe: FakeProbe) -> None:
        self.bus = bus
        self.probe = probe

    async def publish_checks(self, *names: str, **changes: Any) -> None:
        """Publishes an immediate check for each name."""
        assert (
            await self.bus.publish_all([schedules.immediate_check(check(name, **changes), 0) for name in names]) == []
        )

    async def results(self, count: int) -> list[Result]:
        """Waits until `count` results are stored; returns all in stream order."""
        async with asyncio.timeout(30):
            while await self._stored("RESULTS") < count:
                await asyncio.sleep(0.02)
            last = (await self.bus.jetstream.stream_info("RESULTS")).state.last_seq
            stored = [await self.bus.jetstream.get_msg("RESULTS", seq) for seq in range(1, last + 1)]
        return [msgspec.json.decode(message.data or b"", type=Result) for message in stored]

    async def wait_all_done(self) -> None:
        """Waits until no check is pending or in flight."""
        async with asyncio.timeout(30):
            while await self._stored("CHECKS"):
                await asyncio.sleep(0.02)

    async def _stored(self, stream: str) -> int:
        while True:
            try:
                return (await self.bus.jetstream.stream_info(stream)).state.messages
            except NatsError:  # the server is being killed by the test
                await asyncio.sleep(0.1)


def check(name: str, **changes: Any) -> Check:
    made = Check(
        monitor_id=name,
        tenant_id="t1",
        location="local",
        kind="fake",
        revision=1,
        interval_s=60,
        timeout_s=5,
        spec=msgspec.Raw(msgspec.json.encode(FakeSpec(name=name))),
        origin=Origin.MANUAL,
        tick_at=datetime.now(UTC),
    )
    return msgspec.structs.replace(made, **changes)


@asynccontextmanager
async def running_prober(bus: Bus, probe: FakeProbe, **settings: Any) -> AsyncIterator[RunningService]:
    service = prober(FakeSpec, lambda _: probe)
    context = ServiceContext(bus, Settings(**settings), Health(), lambda: datetime.now(UTC))
    async with service.open(context) as opened:
        assert opened.router is not None
        bus.broker.include_router(opened.router)
        await bus.start()
        yield opened
        for subscriber in opened.router.subscribers:
            await subscriber.stop()


@pytest.fixture
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    async with Bus.open(nats_url, name="test") as opened:
        await provisioning.provision(opened, results_bytes_max=RESULTS_BYTES)
        yield opened


@pytest.fixture
def probe() -> FakeProbe:
    return FakeProbe()


async def _up(_: FakeSpec) -> Outcome:
    return UP
