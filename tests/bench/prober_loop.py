"""CPU of the prober's loop without a probe: `python -m tests.bench.prober_loop [CHECKS] [--profile FILE]`.

A real nats-server, a real consumer, a probe that answers at once: what is left is what every check of every kind
pays. Prints CPU microseconds for each check, in the prober and in the server.
"""

import argparse
import asyncio
import contextlib
import cProfile
import logging
import os
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Self

import msgspec
import psutil
import structlog
import uvloop

from libs.bus import provisioning
from libs.bus.client.message import Message
from libs.bus.connection import Bus
from libs.bus.subjects import due
from libs.model.check import Check
from libs.model.outcome import Outcome, Status
from libs.model.spec import Spec
from libs.prober.service import prober
from libs.process.health import Health
from libs.process.service import ServiceContext
from libs.process.settings import Settings
from tests.support.servers import NatsServer, scratch


class NothingSpec(Spec, frozen=True, kw_only=True, tag="nothing"):
    """A target that is always up."""

    url: str = "http://127.0.0.1/"


class NothingProbe:
    """Answers at once, with as much to tell as an HTTP check has."""

    def __init__(self, checks: int) -> None:
        self.left = checks
        self.done = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    async def __call__(self, _spec: NothingSpec, _timeout_s: float) -> Outcome:
        self.left -= 1
        if self.left == 0:
            self.done.set()
        samples = {"dns_s": 0.001, "connect_s": 0.002, "tls_s": 0.01, "first_byte_s": 0.02, "total_s": 0.033}
        return Outcome(status=Status.UP, reason="ok", samples=samples)


async def bench(url: str, checks: int, server: psutil.Process, profile: str | None) -> None:
    async with Bus.open(url, name="bench") as bus:
        await provisioning.provision(bus, results_bytes_max=1 << 30)
        await provisioning.provision_prober(bus, "local", "nothing")
        await fill(bus, checks)
        probe = NothingProbe(checks)
        profiler = cProfile.Profile() if profile else None
        mine, its, began = time.process_time(), cpu_s(server), time.monotonic()
        async with running(bus, probe):
            if profiler:
                profiler.enable()
            await bus.start()
            await probe.done.wait()
            await all_stored(bus, checks)
            if profiler:
                profiler.disable()
                profiler.dump_stats(profile)
        report("prober", time.process_time() - mine, checks)
        report("nats-server", cpu_s(server) - its, checks)
        print(f"{checks / (time.monotonic() - began):10.0f} checks/s")


async def fill(bus: Bus, checks: int) -> None:
    """Puts ticks into the stream as the server would: identity in the headers, body a copy of the schedule."""
    following = (datetime.now(UTC) + timedelta(seconds=60)).strftime("%Y-%m-%dT%H:%M:%SZ")
    encode = msgspec.json.Encoder().encode
    messages = []
    for number in range(checks):
        monitor = f"0198f4c0-7a31-7cc2-9d0e-{number:012d}"
        check = Check(
            monitor_id=monitor,
            tenant_id="0198f4c0-7a31-7cc2-9d0e-000000000000",
            location="local",
            kind="nothing",
            revision=1,
            interval_s=60,
            timeout_s=10,
            spec=msgspec.Raw(encode(NothingSpec())),
        )
        # `Nats-Schedule*` headers are the server's own: a stand-in for tests would be refused, so the body says when.
        check = msgspec.structs.replace(check, tick_at=datetime.fromisoformat(following) - timedelta(seconds=60))
        headers = {"X-Scheduler": f"sched.0.local.{monitor}", "X-Schedule-Next": following, "Nats-TTL": "60s"}
        messages.append(Message(due(0, "local", "nothing", monitor), encode(check), headers=headers))
    assert await bus.publish_all(messages, timeout_s=60) == []


@contextlib.asynccontextmanager
async def running(bus: Bus, probe: NothingProbe) -> AsyncIterator[None]:
    service = prober(NothingSpec, lambda _: probe)
    async with service.open(ServiceContext(bus, Settings(), Health(), lambda: datetime.now(UTC))) as opened:
        assert opened.router is not None
        bus.broker.include_router(opened.router)
        yield
        for subscriber in opened.router.subscribers:
            await subscriber.stop()


async def all_stored(bus: Bus, checks: int) -> None:
    while (await bus.jetstream.stream_info("RESULTS")).state.messages < checks:
        await asyncio.sleep(0.05)


def cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def report(who: str, spent_s: float, checks: int) -> None:
    print(f"{spent_s / checks * 1e6:10.0f} us CPU per check in {who}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("checks", type=int, nargs="?", default=20_000)
    parser.add_argument("--profile")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    with scratch("bench") as directory:
        server = NatsServer(directory)
        server.start()
        child = next(p for p in psutil.Process(os.getpid()).children() if "nats" in p.name())
        try:
            uvloop.run(bench(server.url, options.checks, child, options.profile))
        finally:
            server.kill()


if __name__ == "__main__":
    main()
