"""What a check of kind port costs: connects, and whole conversations. `python -m tests.bench.port`.

The servers run in a process of their own, so that the CPU time told is that of the probe alone.
"""

import argparse
import asyncio
import multiprocessing
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, ClassVar, NamedTuple

import uvloop

from libs.model.outcome import Status
from services.port.probe import PortProbe
from services.port.spec import PortSpec

# The goals, in checks for each second of CPU.
GOALS = {"connect": 5000, "ssh": 2000, "smtp": 2000}
CONCURRENCY = 50


class _Server(asyncio.Protocol):
    """Says a greeting, and answers each line that comes by its first word."""

    greeting = b""
    answers: ClassVar[dict[bytes, bytes]] = {}

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        if self.greeting:
            transport.write(self.greeting)

    def data_received(self, data: bytes) -> None:
        for line in data.splitlines():
            word = line.split(b" ")[0].upper()
            self._transport.write(self.answers.get(word[:7], b""))
            if word == b"QUIT":
                self._transport.close()


class _Ssh(_Server):
    greeting = b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u7\r\n"
    answers: ClassVar[dict[bytes, bytes]] = {
        b"SSH-2.0": b"\x00\x00\x04\x34\x09\x14" + b"k" * 1074
    }  # as long as OpenSSH's first packet


class _Smtp(_Server):
    greeting = b"220 mail.example ESMTP Postfix\r\n"
    answers: ClassVar[dict[bytes, bytes]] = {
        b"EHLO": b"250-mail.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
        b"QUIT": b"221 Bye\r\n",
    }


SERVERS: dict[str, Callable[[], _Server]] = {"connect": _Server, "ssh": _Ssh, "smtp": _Smtp}


def _serve(pipe: Connection) -> None:
    async def serve() -> None:
        loop = asyncio.get_running_loop()
        servers = [await loop.create_server(make, "127.0.0.1", 0, backlog=4096) for make in SERVERS.values()]
        pipe.send([server.sockets[0].getsockname()[1] for server in servers])
        await loop.run_in_executor(None, pipe.recv)
        for server in servers:
            server.close()

    uvloop.run(serve())


class Round(NamedTuple):
    """One round of checks of one sort."""

    cpu_s: float
    wall_s: float
    checks: int

    @property
    def per_cpu_s(self) -> float:
        return self.checks / self.cpu_s


async def measured(probe: PortProbe, spec: PortSpec, checks: int) -> Round:
    left = iter(range(checks))

    async def worker() -> None:
        for _ in left:
            outcome = await probe(spec, 10.0)
            assert outcome.status is Status.UP, outcome

    cpu, begun = time.process_time(), time.monotonic()
    async with asyncio.TaskGroup() as group:
        for _ in range(CONCURRENCY):
            group.create_task(worker())
    return Round(time.process_time() - cpu, time.monotonic() - begun, checks)


async def bench(ports: dict[str, int], checks: int, rounds: int) -> None:
    async with PortProbe() as probe:
        services = {"connect": None, "ssh": "ssh", "smtp": "smtp"}
        specs = {name: PortSpec(host="127.0.0.1", port=ports[name], service=services[name]) for name in SERVERS}
        for spec in specs.values():
            await measured(probe, spec, 200)
        found: dict[str, list[Round]] = {name: [] for name in specs}
        for _ in range(rounds):
            for name, spec in specs.items():
                found[name].append(await measured(probe, spec, checks))
    for name, each in found.items():
        show(name, each)


def show(name: str, found: list[Round]) -> None:
    speeds = sorted(each.per_cpu_s for each in found)
    walls = [each.checks / each.wall_s for each in found]
    kept = "kept" if statistics.median(speeds) >= GOALS[name] else "MISSED"
    print(
        f"{name:<8} {statistics.median(speeds):7.0f} checks/s of CPU (least {speeds[0]:.0f}, most {speeds[-1]:.0f}), "
        f"{1e6 / statistics.median(speeds):5.0f} us each; {statistics.median(walls):.0f}/s of time; "
        f"goal {GOALS[name]}: {kept}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checks", type=int, default=5000, help="checks of each sort in a round")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
    server.start()
    try:
        ports = dict(zip(SERVERS, ours.recv(), strict=True))
        uvloop.run(bench(ports, options.checks, options.rounds))
    finally:
        ours.send(None)
        server.join(10)


if __name__ == "__main__":
    main()
