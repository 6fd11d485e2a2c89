"""Prints the CPU of one HTTP probe and of HTTPS probes over each version, against a target in a process of its own.

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
from tests.support.targets.http2 import END_STREAM, GREETING, data, head

CONCURRENCY = 50
ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: bench\r\nContent-Type: text/html\r\nContent-Length: 13\r\nConnection: close\r\n\r\n"
    b"Hello, world\n"
)


HTTP2_ANSWER = (
    GREETING
    + head([(":status", "200"), ("server", "bench"), ("content-type", "text/html"), ("content-length", "13")])
    + data(b"Hello, world\n", END_STREAM)
)


class Greeter(asyncio.Protocol):
    """Answers and, over HTTP/1.1, hangs up."""

    def __init__(self, protocol: str) -> None:
        self._answer, self._stays = (HTTP2_ANSWER, True) if protocol == "h2" else (ANSWER, False)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        del data
        self._transport.write(self._answer)
        if not self._stays:
            self._transport.close()
        self._answer = b""


async def serve(pipe: Connection, protocol: str, tls: ssl.SSLContext | None) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Greeter(protocol), "127.0.0.1", 0, ssl=tls, backlog=1024)
    pipe.send(server.sockets[0].getsockname()[1])
    await server.serve_forever()


def target(pipe: Connection, folder: str, protocol: str) -> None:
    """Serves HTTP or, if a protocol is named, HTTPS with this protocol."""
    context = Authority(Path(folder)).server("127.0.0.1") if protocol else None
    if context is not None:
        context.set_alpn_protocols([protocol])
    uvloop.run(serve(pipe, protocol, context))


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


def bench(name: str, probes: int, host: str = "127.0.0.1", protocol: str = "") -> None:
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=target, args=(theirs, folder, protocol), daemon=True
        )
        process.start()
        url = f"{'https' if protocol else 'http'}://{host}:{ours.recv()}/"
        ca_file = next(Path(folder).glob("*authority.pem"), None)
        cpu_us, wall_us = uvloop.run(measure(url, ca_file or Authority(Path(folder)).ca_file, probes))
        print(f"{name:<34}{cpu_us:10.1f} us CPU{wall_us:10.1f} us wall   ({probes} probes, {CONCURRENCY} at a time)")
        process.kill()
        process.join()


def main() -> None:
    probes = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    bench("HTTP, address", probes)
    bench("HTTP, name", probes, "localhost")
    bench("HTTPS, HTTP/1.1, fresh handshake", max(probes // 10, CONCURRENCY), protocol="http/1.1")
    bench("HTTPS, HTTP/2, fresh handshake", max(probes // 10, CONCURRENCY), protocol="h2")


if __name__ == "__main__":
    main()
