"""Proxies that others wrote, as processes: what ours take for the protocol is held against theirs."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.support.ports import free_port, listens
from tests.support.processes import Process
from tests.support.programs import installed

USERNAME, PASSWORD = "watch", "s3cret"


def _tinyproxy(folder: Path, port: int) -> Sequence[str]:
    """It lets nobody pass to names with "forbidden" in them."""
    config, blocked = folder / "tinyproxy.conf", folder / "blocked"
    blocked.write_text("forbidden\n")
    config.write_text(
        f'Port {port}\nListen 127.0.0.1\nTimeout 20\nBasicAuth {USERNAME} {PASSWORD}\nFilter "{blocked}"\n'
    )
    return [installed("tinyproxy"), "-d", "-c", str(config)]


def _microsocks(folder: Path, port: int) -> Sequence[str]:
    del folder
    return [installed("microsocks"), "-i", "127.0.0.1", "-p", str(port), "-u", USERNAME, "-P", PASSWORD]


_DAEMONS: dict[str, Callable[[Path, int], Sequence[str]]] = {"tinyproxy": _tinyproxy, "microsocks": _microsocks}


@contextlib.contextmanager
def running_proxy(name: str, folder: Path) -> Iterator[int]:
    """Yields the port of tinyproxy or of microsocks."""
    port = free_port()
    process = Process(name, _DAEMONS[name](folder, port), log=folder / f"{name}.log")
    process.start()
    try:
        process.wait_until(lambda: listens(port))
        yield port
    finally:
        process.kill()
