"""What a ping costs and how true it is, beside aioping, icmplib and fping: `python -m tests.bench.ping [TARGETS]`.

All targets are addresses of loopback in a network namespace of its own (which takes root): the kernel answers at once,
so that what is measured is the prober. icmplib and fping are left out where they are not installed.
"""

import asyncio
import importlib.util
import random
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import aioping
import structlog
import uvloop

from libs.model.outcome import Outcome
from services.ping.probe import PingProbe
from services.ping.spec import PingSpec
from tests.support.netns import Namespace, inside, namespace

PACKETS = 5
ROUND_S = 10.0
ROUNDS = 3
# The others take too long for all of the targets.
FEW = 2000
BUSY_TARGETS = 200


def addresses(count: int) -> list[str]:
    return [f"127.{1 + (number >> 16)}.{number >> 8 & 255}.{number & 255}" for number in range(1, count + 1)]


def cpu_s(who: int = resource.RUSAGE_SELF) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def told(name: str, echoes: float, lost: float, used_s: float, took_s: float) -> None:
    rate = f"{echoes / used_s:10,.0f}" if used_s else f"{'-':>10}"
    print(f"{name:<44}{echoes:9,.0f} echoes {lost:7,.0f} lost {took_s:7.2f} s {rate} echo/s per CPU-second")


async def all_at_once(specs: list[PingSpec], probe: PingProbe) -> list[Outcome]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(probe(spec, ROUND_S)) for spec in specs]
    return [task.result() for task in tasks]


async def spread(specs: list[PingSpec], probe: PingProbe) -> list[Outcome]:
    """Every target once in each round, at a moment of its own, as the prober does it."""

    async def watched(spec: PingSpec) -> list[Outcome]:
        await asyncio.sleep(random.random() * ROUND_S)
        outcomes = []
        for _ in range(ROUNDS):
            begun_at = time.monotonic()
            outcomes.append(await probe(spec, ROUND_S))
            await asyncio.sleep(begun_at + ROUND_S - time.monotonic())
        return outcomes

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(watched(spec)) for spec in specs]
    return [outcome for task in tasks for outcome in task.result()]


async def ours(name: str, run: Callable[[list[PingSpec], PingProbe], Awaitable[list[Outcome]]], count: int) -> None:
    specs = [PingSpec(host=host, packets=PACKETS) for host in addresses(count)]
    async with PingProbe() as probe:
        used_s, begun_at = cpu_s(), time.perf_counter()
        outcomes = await run(specs, probe)
        used_s, took_s = cpu_s() - used_s, time.perf_counter() - begun_at
    sent, received = (sum(outcome.samples.get(word, 0) for outcome in outcomes) for word in ("sent", "received"))
    told(name, received, sent - received, used_s, took_s)
    unwell = Counter((outcome.status.value, outcome.reason) for outcome in outcomes if outcome.status != "up")
    if unwell or sent < PACKETS * len(outcomes):
        print(
            f"    this machine was too busy: {PACKETS * len(outcomes) - sent:,.0f} packets unsent, not up: {dict(unwell)}"
        )


async def aiopings(count: int, at_once: int) -> None:
    slots, answered = asyncio.Semaphore(at_once), 0

    async def one(host: str) -> None:
        nonlocal answered
        async with slots:
            with suppress(TimeoutError, OSError):
                await aioping.ping(host, timeout=2)
                answered += 1

    used_s, begun_at = cpu_s(), time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for host in addresses(count):
            group.create_task(one(host))
    told(
        f"aioping, raw, {at_once} at once", answered, count - answered, cpu_s() - used_s, time.perf_counter() - begun_at
    )


async def icmplibs(count: int) -> None:
    if importlib.util.find_spec("icmplib") is None:
        print("icmplib is not installed")
        return
    icmplib: Any = importlib.import_module("icmplib")
    used_s, begun_at = cpu_s(), time.perf_counter()
    hosts = await icmplib.async_multiping(addresses(count), count=1, timeout=2)
    answered = sum(host.packets_received for host in hosts)
    told("icmplib, raw, 50 at once", answered, count - answered, cpu_s() - used_s, time.perf_counter() - begun_at)


def fpinged(where: Namespace, hosts: list[str], *options: str) -> list[list[float]]:
    """Returns the round-trip times that fping measures, in seconds, for each of the hosts."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(hosts))
        file.flush()
        command = ["ip", "netns", "exec", where.name, "fping", "-q", *options, "-f", file.name]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line.partition(" : ")[2].split() for line in done.stderr.splitlines() if " : " in line]
    return [[float(word) / 1000 for word in words if re.fullmatch(r"[\d.]+", word)] for words in lines]


def fpings(where: Namespace, count: int) -> None:
    used_s, begun_at = cpu_s(resource.RUSAGE_CHILDREN), time.perf_counter()
    # Its sequence numbers last for 6,550 packets a second.
    times = fpinged(where, addresses(count), "-C", str(PACKETS), "-p", "2000", "-i", "0.1")
    took_s = time.perf_counter() - begun_at
    received = sum(map(len, times))
    told("fping", received, PACKETS * count - received, cpu_s(resource.RUSAGE_CHILDREN) - used_s, took_s)


@asynccontextmanager
async def busy() -> AsyncIterator[None]:
    """Lets the event loop stand still for 20 of every 25 ms."""

    async def block() -> None:
        while True:
            time.sleep(0.02)
            await asyncio.sleep(0.005)

    async with asyncio.TaskGroup() as group:
        blocking = group.create_task(block())
        yield
        blocking.cancel()


async def agreement(where: Namespace) -> None:
    hosts = addresses(BUSY_TARGETS)
    medians = [statistics.median(each) for each in fpinged(where, hosts, "-C", "5", "-p", "200", "-i", "1") if each]
    theirs = statistics.median(medians)
    print(f"median round-trip time by fping                      {theirs * 1e6:7.1f} us")
    specs = [PingSpec(host=host, packets=PACKETS) for host in hosts]
    async with PingProbe() as probe, busy():
        outcomes = await all_at_once(specs, probe)
    mine = statistics.median(outcome.samples["rtt_median_s"] for outcome in outcomes)
    most = max(outcome.samples["rtt_median_s"] for outcome in outcomes)
    print(
        f"ours, while the loop stands still for 20 of 25 ms    {mine * 1e6:7.1f} us (the longest median {most * 1e6:.1f} us)"
    )


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(65_536, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),) * 2)
    with namespace("bench") as where:
        where.allow_datagrams()
        with inside(where, "raw"):
            uvloop.run(ours(f"ours, raw, {count:,} targets at once", all_at_once, count))
            uvloop.run(ours(f"ours, raw, {count:,} targets every 10 s", spread, count))
        with inside(where, "datagram"):
            uvloop.run(ours(f"ours, aioping's datagrams, {FEW:,} targets", all_at_once, FEW))
        with inside(where, "raw"):
            for at_once in (50, 1000):
                uvloop.run(aiopings(FEW, at_once))
            asyncio.run(icmplibs(FEW))
            if shutil.which("fping") is None:
                print("fping is not installed")
                return
            fpings(where, count)
            uvloop.run(agreement(where))


if __name__ == "__main__":
    main()
