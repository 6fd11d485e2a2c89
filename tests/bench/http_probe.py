"""Prints the CPU of one HTTP and one HTTPS probe, against a target in a process of its own.

python -m tests.bench.http_probe [PROBES]
"""

import asyncio
import multiprocessing
import resource
import ssl
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import cast

import uvloop

from services.http.probe import HttpProbe
from services.http.spec import HttpSpec
from tests.support.targets.certificates import Authority

CONCURRENCY = 50
ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: bench\r\nContent-Type: text/html\r\nContent-Length: 13\r\nConnection: close\r\n\r\n"
    b"Hello, world\n"
)


class Greeter(asyncio.Protocol):
    """Answers and hangs up."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        del data
        self._transport.write(ANSWER)
        self._transport.close()


async def serve(pipe: Connection, tls: ssl.SSLContext | None) -> None:
    server = await asyncio.get_running_loop().create_server(Greeter, "127.0.0.1", 0, ssl=tls, backlog=1024)
    pipe.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def target(pipe: Connection, folder: str, *, secure: bool) -> None:
    uvloop.run(serve(pipe, Authority(Path(folder)).server("127.0.0.1") if secure else None))


async def measure(url: str, ca_file: Path, probes: int) -> tuple[float, float]:
    """Returns the CPU and the wall clock of one probe, in microseconds."""
    spec = HttpSpec(url=url)
    async with HttpProbe(ca_file=ca_file) as probe:

        async def watch(count: int) -> None:
            for _ in range(count):
                outcome = await probe(spec, 10)
                assert outcome.status == "up", outcome

        async def watch_all(count: int) -> None:
            async with asyncio.TaskGroup() as group:
                for _ in range(CONCURRENCY):
                    group.create_task(watch(count))

        await watch_all(4)
        cpu_s, wall_s = cpu(), time.perf_counter()
        await watch_all(probes // CONCURRENCY)
        return (cpu() - cpu_s) / probes * 1e6, (time.perf_counter() - wall_s) / probes * 1e6


def cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def bench(name: str, probes: int, host: str = "127.0.0.1", *, secure: bool = False) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=target, args=(theirs, folder), kwargs={"secure": secure}, daemon=True
        )
        process.start()
        url = f"{'https' if secure else 'http'}://{host}:{ours.recv()}/"
        ca_file = next(Path(folder).glob("*authority.pem"), None)
        cpu_us, wall_us = uvloop.run(measure(url, ca_file or Authority(Path(folder)).ca_file, probes))
        print(f"{name:<34}{cpu_us:10.1f} us CPU{wall_us:10.1f} us wall   ({probes} probes, {CONCURRENCY} at a time)")
        process.kill()
        process.join()


def main() -> None:
    probes = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    bench("HTTP, address", probes)
    bench("HTTP, name", probes, "localhost")
    bench("HTTPS, fresh handshake", max(probes // 10, CONCURRENCY), secure=True)


if __name__ == "__main__":
    main()
