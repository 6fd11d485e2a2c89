"""Pid file of a server, and stopping of a server that an earlier process left running.

A pid may have been reused, so the file also contains the start time of the process.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import structlog

from libs.process.errors import StartError

_log = structlog.get_logger()


def write_pid_file(pid_file: Path, pid: int) -> None:
    """Records a process that has just been started."""
    pid_file.write_text(f"{pid} {_start_time(pid)}\n", encoding="utf-8")


async def stop_stale_process(pid_file: Path, number: signal.Signals, patience_s: float) -> None:
    """Stops the process recorded in `pid_file`, if that very process still runs, and waits for its end."""
    pid = _live_pid(pid_file)
    if pid is None:
        return
    _log.warning("embedded.stale_process", pid=pid, file=str(pid_file))
    for each, wait_s in ((number, patience_s), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, each)
        if await _wait_gone(pid_file, wait_s):
            return
    raise StartError(f"process {pid} of an earlier start does not end; see {pid_file}")


async def _wait_gone(pid_file: Path, wait_s: float) -> bool:
    until = time.monotonic() + wait_s
    while time.monotonic() < until:
        if _live_pid(pid_file) is None:
            return True
        await asyncio.sleep(0.02)
    return False


def _live_pid(pid_file: Path) -> int | None:
    try:
        pid, birth = pid_file.read_text(encoding="utf-8").split(maxsplit=1)
    except (OSError, ValueError):
        return None
    now = _start_time(int(pid))
    return int(pid) if now and now == birth.strip() else None


def _start_time(pid: int) -> str:
    """Returns the start time of a process in a unit of the system; empty if there is no such process."""
    if Path("/proc/self/stat").exists():
        return _start_time_from_proc(pid)
    found = subprocess.run(["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S603
    return found.stdout.strip()


def _start_time_from_proc(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    # After the name, which may contain blanks and brackets: the state is field 3, the start time field 22.
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in {"Z", "X"} else fields[19]
