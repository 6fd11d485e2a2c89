"""Both sides of the bench: so many checks of one target, so many at a time, and what they cost."""

import asyncio
import http.client
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple, Self
from urllib.parse import urlencode

import uvloop

from libs.model.outcome import Outcome
from services.http.probe import HttpProbe
from services.http.spec import HttpSpec
from tests.bench.against_blackbox.servers import Blackbox

# What is no URL comes no further than a prober comes without a packet.
NO_TARGET = "http://["


class Cost(NamedTuple):
    """Microseconds of one check."""

    cpu_us: float
    wall_us: float


class Load(NamedTuple):
    """One round: how many checks, how many of them at a time, and how they must end."""

    checks: int
    concurrency: int
    timeout_s: float = 10
    succeeds: bool = True


class Ours:
    """HttpProbe, called in a loop in a process of its own."""

    def __init__(self, ca_file: Path) -> None:
        self._pipe, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self._process: BaseProcess = context.Process(target=_work, args=(theirs, ca_file), daemon=True)
        self._process.start()

    def run(self, spec: HttpSpec, load: Load) -> Cost:
        self._pipe.send((spec, load))
        answer = self._pipe.recv()
        assert isinstance(answer, Cost)
        return answer

    def outcome(self, spec: HttpSpec) -> Outcome:
        """Returns what one check tells."""
        self._pipe.send((spec, None))
        answer = self._pipe.recv()
        assert isinstance(answer, Outcome)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.join()


def _work(pipe: Connection, ca_file: Path) -> None:
    uvloop.run(_serve(pipe, ca_file))


async def _serve(pipe: Connection, ca_file: Path) -> None:
    async with HttpProbe(ca_file=ca_file) as probe:
        while True:
            spec, load = await asyncio.to_thread(pipe.recv)
            pipe.send(await (probe(spec, 10) if load is None else _probe_all(probe, spec, load)))


async def _probe_all(probe: HttpProbe, spec: HttpSpec, load: Load) -> Cost:
    async def one_by_one() -> None:
        for _ in range(load.checks // load.concurrency):
            outcome = await probe(spec, load.timeout_s)
            assert (outcome.status == "up") is load.succeeds, outcome

    cpu_s, wall_s = time.process_time(), time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(load.concurrency):
            group.create_task(one_by_one())
    return Cost((time.process_time() - cpu_s) / load.checks * 1e6, (time.perf_counter() - wall_s) / load.checks * 1e6)


class Theirs:
    """A blackbox_exporter that is asked over kept-alive connections, as Prometheus does, but for plain text."""

    def __init__(self, blackbox: Blackbox) -> None:
        self._port = blackbox.port
        # The clock of another process's CPU time, as clock_getcpuclockid(3) makes it: psutil counts in steps of 10 ms.
        self._clock = (~blackbox.pid << 3) | 2

    def run(self, path: str, load: Load, expected: Callable[[bytes], bool]) -> Cost:
        def one_by_one(_: int) -> None:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
            for _ in range(load.checks // load.concurrency):
                body = self._get(connection, path)
                assert expected(body), body
            connection.close()

        cpu_s, wall_s = self._cpu_s(), time.perf_counter()
        with ThreadPoolExecutor(load.concurrency) as pool:
            list(pool.map(one_by_one, range(load.concurrency)))
        return Cost((self._cpu_s() - cpu_s) / load.checks * 1e6, (time.perf_counter() - wall_s) / load.checks * 1e6)

    def probe(self, url: str, module: str, load: Load) -> Cost:
        word = b"\nprobe_success 1\n" if load.succeeds else b"\nprobe_success 0\n"
        return self.run(_path(url, module), load, lambda body: word in body)

    def series(self, url: str, module: str) -> dict[str, str]:
        """Returns the series of one check with their values, labels included."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        lines = self._get(connection, _path(url, module)).decode().splitlines()
        connection.close()
        pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: value for name, _, value in pairs}

    def _get(self, connection: http.client.HTTPConnection, path: str) -> bytes:
        connection.request("GET", path)
        return connection.getresponse().read()

    def _cpu_s(self) -> float:
        return time.clock_gettime(self._clock)


def _path(url: str, module: str) -> str:
    return f"/probe?{urlencode({'module': module, 'target': url})}"
