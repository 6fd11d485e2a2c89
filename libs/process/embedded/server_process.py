"""Supervised server process: start, readiness, restart after a crash, orderly stop."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from libs.process.embedded import launch, stale_process
from libs.process.embedded.unix_account import UnixAccount
from libs.process.errors import StartError

LOG_BYTES_MAX = 8 << 20
# Recovery after a crash may take long.
READY_S_MAX = 300.0
_POLL_S = 0.02
_RESTART_PAUSE_S = (0.1, 5.0)
_HEALTHY_S = 30.0

_log = structlog.get_logger()


@dataclass(frozen=True)
class ServerCommand:
    """Command line of a server, and the signal that stops it. `folder` receives its log and its pid file."""

    name: str
    argv: tuple[str, ...]
    folder: Path
    stop_signal: signal.Signals
    stop_s: float
    account: UnixAccount | None = None
    fds: tuple[int, ...] = ()
    env: dict[str, str] = field(default_factory=dict)

    @property
    def pid_file(self) -> Path:
        return self.folder / "server.pid"

    @property
    def log_file(self) -> Path:
        return self.folder / "server.log"


@asynccontextmanager
async def supervised(command: ServerCommand, ready: Callable[[int], bool]) -> AsyncIterator["ServerProcess"]:
    """Keeps the server running, at the same address, until the context is left.

    `ready` tells whether the server with this pid accepts connections. The context must be entered on a thread that
    lives as long as the process: the kernel ends the server together with the thread that started it.
    """
    await stale_process.stop_stale_process(command.pid_file, command.stop_signal, command.stop_s)
    child = ServerProcess(command, ready)
    try:
        await child.start()
        async with asyncio.TaskGroup() as group:
            supervisor = group.create_task(child.keep_running())
            try:
                yield child
            finally:
                supervisor.cancel()
    finally:
        await child.stop()


class ServerProcess:
    """One server process and its restarts."""

    def __init__(self, command: ServerCommand, ready: Callable[[int], bool]) -> None:
        self._command = command
        self._ready = ready
        self._process: Process | None = None

    @property
    def pid(self) -> int:
        """The pid of the current or last process; 0 before the first start."""
        return self._process.pid if self._process else 0

    async def start(self) -> None:
        """Starts the server and waits until it is ready; StartError with the end of its log if it is not."""
        self._process = process = await self._spawn()
        until = time.monotonic() + READY_S_MAX
        while process.returncode is None and time.monotonic() < until:
            if self._ready(process.pid):
                return
            await asyncio.sleep(_POLL_S)
        await self.stop()
        raise StartError(f"{self._command.name} did not start: {_log_tail(self._command.log_file)}")

    async def keep_running(self) -> None:
        """Restarts the server whenever it exits, with exponential back-off."""
        pause_s = _RESTART_PAUSE_S[0]
        while True:
            started_at = time.monotonic()
            await self._wait_exited()
            if time.monotonic() - started_at > _HEALTHY_S:
                pause_s = _RESTART_PAUSE_S[0]
            _log.error("embedded.died", server=self._command.name, code=self._process and self._process.returncode)
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _RESTART_PAUSE_S[1])
            await self._restart()

    async def stop(self) -> None:
        """Stops the server with its stop signal, and with SIGKILL after `stop_s` seconds."""
        process = self._process
        for number in (self._command.stop_signal, signal.SIGKILL):
            if process is None or process.returncode is not None:
                break
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), self._command.stop_s)
        self._command.pid_file.unlink(missing_ok=True)

    async def _wait_exited(self) -> None:
        if self._process is not None:
            await self._process.wait()

    async def _restart(self) -> None:
        try:
            await self.start()
        except StartError as error:
            _log.error("embedded.restart_failed", server=self._command.name, reason=str(error))
            return
        _log.warning("embedded.restarted", server=self._command.name, pid=self.pid)

    async def _spawn(self) -> Process:
        command = self._command
        with _open_log(command.log_file) as log:
            process = await asyncio.create_subprocess_exec(
                *launcher_argv(command.stop_signal, command.account),
                *command.argv,
                stdin=DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": os.defpath, "LC_ALL": "C", **command.env},
                cwd="/",
                pass_fds=command.fds,
                # Ctrl-C in a terminal signals the whole process group; the servers must keep running during our drain.
                start_new_session=True,
            )
        stale_process.write_pid_file(command.pid_file, process.pid)
        return process


def launcher_argv(number: signal.Signals, account: UnixAccount | None) -> list[str]:
    """Returns the arguments of the launcher: the command after them runs as `account`, and ends with us by `number`."""
    user = (account.uid, account.gid) if account else (-1, -1)
    numbers = (os.getpid(), int(number), *user)
    return [sys.executable, "-I", "-S", str(launch.__file__), *map(str, numbers)]


@contextlib.contextmanager
def _open_log(path: Path) -> Iterator[int]:
    if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
        path.replace(path.with_name(path.name + ".1"))
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        yield log
    finally:
        os.close(log)


def _log_tail(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()[-3:] if path.exists() else []
    return " / ".join(line.strip() for line in lines) + f" (log: {path})"
