"""Embedded servers: killed, restarted, left by a crash, and run as another user."""

import asyncio
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from libs.process.embedded import runtime_dir
from libs.process.embedded.data_dir import locked_data_dir
from libs.process.embedded.nats import nats_server
from libs.process.embedded.postgres import find_postgres, postgres_server
from libs.process.embedded.server_process import ServerCommand, supervised
from libs.process.embedded.unix_account import UnixAccount
from libs.process.errors import StartError
from tests.support.servers import scratch

AS_ROOT = os.geteuid() == 0


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory with mode 0700, as below /root."""
    with scratch("embedded") as directory:
        directory.chmod(0o700)
        yield directory


def query(dsn: str, sql: str) -> str:
    """Returns the output of psql from the same wheel: only libs.store may import asyncpg."""
    command = [str(find_postgres() / "bin" / "psql"), "-XAtq", "-d", dsn, "-c", sql]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()


async def wait_until_true(holds, within_s: float = 20.0) -> None:
    async with asyncio.timeout(within_s):
        while not await asyncio.to_thread(holds):
            await asyncio.sleep(0.05)


def postgres_accepts(dsn: str) -> bool:
    try:
        return query(dsn, "select 1") == "1"
    except subprocess.CalledProcessError:
        return False


def nats_accepts(url: str) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", urlsplit(url).port), timeout=1) as connection:
            return connection.recv(5) == b"INFO "
    except OSError:
        return False


def is_alive(pid: int) -> bool:
    """Tells whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


async def test_postgres_keeps_its_data_and_its_address_after_kill_9(folder: Path):
    async with postgres_server(folder / "postgres") as (dsn, child):
        assert query(dsn, "show server_version").startswith("18.")
        assert query(dsn, "show synchronous_commit") == "on"
        query(dsn, "create table kept as select 1 as one")
        os.kill(child.pid, signal.SIGKILL)
        await wait_until_true(lambda: postgres_accepts(dsn))
        assert query(dsn, "select one from kept") == "1"
    async with postgres_server(folder / "postgres") as (dsn, _):
        assert query(dsn, "select one from kept") == "1"


async def test_nats_keeps_its_address_after_kill_9_and_rejects_unknown_users(folder: Path):
    async with nats_server(folder / "nats") as (address, child):
        first = child.pid
        os.kill(first, signal.SIGKILL)
        await wait_until_true(lambda: child.pid != first and nats_accepts(address.url))
        assert stat.S_IMODE((folder / "nats" / "nats.conf").stat().st_mode) == 0o600
        with socket.create_connection(("127.0.0.1", urlsplit(address.url).port), timeout=20) as stranger:
            stranger.sendall(b"CONNECT {}\r\nPING\r\n")
            said = b"".join(iter(lambda: stranger.recv(4096), b""))
        assert b"Authorization Violation" in said
        assert b"PONG" not in said
    assert not is_alive(child.pid)


async def test_both_servers_stop_and_clean_up_with_their_context(folder: Path):
    async with nats_server(folder / "nats") as (_, nats), postgres_server(folder / "postgres") as (dsn, postgres):
        socket_dir = Path(parse_qs(urlsplit(dsn).query)["host"][0])
        assert socket_dir.exists()
        pids = (nats.pid, postgres.pid)
    assert not any(map(is_alive, pids))
    assert not socket_dir.parent.exists()
    assert not list(folder.rglob("server.pid"))


SUPERVISOR_PROGRAM = """
import asyncio, sys
from pathlib import Path
from libs.process.embedded.nats import nats_server
from libs.process.embedded.postgres import postgres_server

async def main(folder):
    async with nats_server(folder / "nats") as (_, nats), postgres_server(folder / "postgres") as (_, postgres):
        print(nats.pid, postgres.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux ends children with their parent")
async def test_the_servers_end_when_their_parent_is_killed(folder: Path):
    holder = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR_PROGRAM, str(folder)], stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        pids = [int(word) for word in (await asyncio.to_thread(holder.stdout.readline)).split()]
        assert all(map(is_alive, pids))
        holder.kill()
    await wait_until_true(lambda: not any(map(is_alive, pids)))
    async with postgres_server(folder / "postgres") as (dsn, _):
        assert postgres_accepts(dsn)


async def test_a_stale_server_is_stopped_and_another_process_with_its_pid_is_not(folder: Path):
    words = (sys.executable, "-c", "import time; time.sleep(60)")
    command = ServerCommand("sleeper", words, folder, signal.SIGTERM, 5.0)
    with subprocess.Popen(words) as stranger:
        command.pid_file.write_text(f"{stranger.pid} 1\n")
        async with supervised(command, lambda _pid: True) as first:
            left = first.pid
            kept = command.pid_file.read_text()
        command.pid_file.write_text(kept)
        assert not is_alive(left)
        assert is_alive(stranger.pid)
        with subprocess.Popen(words) as behind:
            birth = Path(f"/proc/{behind.pid}/stat").read_text().rpartition(")")[2].split()[19]
            command.pid_file.write_text(f"{behind.pid} {birth}\n")
            async with supervised(command, lambda _pid: True):
                assert behind.wait(5) == -signal.SIGTERM
        stranger.kill()


async def test_a_server_that_cannot_start_is_reported_with_its_log(folder: Path):
    words = (sys.executable, "-c", "import sys; sys.exit('no space on this disk')")
    with pytest.raises(StartError, match="sleeper did not start: no space on this disk"):
        async with supervised(ServerCommand("sleeper", words, folder, signal.SIGTERM, 5.0), lambda _pid: False):
            pass


async def test_a_server_that_ignores_its_stop_signal_is_killed(folder: Path):
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    command = ServerCommand("stubborn", (sys.executable, "-c", code), folder, signal.SIGTERM, 0.2)
    began = time.monotonic()
    async with supervised(command, lambda _pid: "up" in command.log_file.read_text()) as child:
        pass
    assert not is_alive(child.pid)
    assert time.monotonic() - began < 30


async def test_an_incomplete_database_is_recreated(folder: Path):
    (folder / "postgres" / "data.new" / "base").mkdir(parents=True)
    async with postgres_server(folder / "postgres") as (dsn, _):
        assert postgres_accepts(dsn)


async def test_data_of_another_version_are_rejected(folder: Path):
    data = folder / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("16\n")
    with pytest.raises(StartError, match="made by PostgreSQL 16, and this is 18"):
        async with postgres_server(folder / "postgres"):
            pass


@pytest.mark.skipif(not AS_ROOT, reason="only root changes its user")
async def test_under_root_postgres_runs_as_another_user_without_access_to_the_wheel(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    """As after a clone into /root: the user has access to neither the wheel nor the data."""
    package = find_postgres().parent
    hidden = folder / "site" / package.name / find_postgres().name
    shutil.copytree(find_postgres(), hidden, ignore=shutil.ignore_patterns("include"))
    shutil.copytree(package.with_name(package.name + ".libs"), folder / "site" / (package.name + ".libs"))
    monkeypatch.setattr("libs.process.embedded.postgres.find_postgres", lambda: hidden)
    async with postgres_server(folder / "postgres") as (dsn, child):
        assert query(dsn, "select 1") == "1"
        assert Path(f"/proc/{child.pid}").stat().st_uid != 0
        assert (folder / "postgres" / "data").stat().st_uid != 0
        executable = Path(f"/proc/{child.pid}/exe").readlink()
        assert not executable.is_relative_to(folder)
    assert not executable.exists()


@pytest.mark.skipif(not AS_ROOT, reason="only root changes its user")
def test_other_users_can_run_the_copied_binaries_but_not_change_them(folder: Path):
    with runtime_dir.temporary_runtime_dir(folder, find_postgres(), UnixAccount(65534, 65534)) as made:
        assert made.socket.stat().st_uid == 65534
        assert made.socket.parent.stat().st_uid == 0
        assert stat.S_IMODE(made.socket.stat().st_mode) == 0o700


@pytest.mark.skipif(not AS_ROOT, reason="only root becomes an ordinary user")
async def test_an_ordinary_user_runs_the_installed_binaries(folder: Path):
    root = str(Path(__file__).parents[3])
    try:
        words = [sys.executable, "-c", "import libs.process.embedded.postgres"]
        subprocess.run(words, user=65534, group=65534, extra_groups=[], cwd=root, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("nobody cannot enter this checkout or its environment")
    os.chown(folder, 65534, 65534)
    code = SUPERVISOR_PROGRAM.replace("await asyncio.Event().wait()", "print('well', flush=True)")
    command = [sys.executable, "-c", code, str(folder)]
    done = subprocess.run(
        command, user=65534, group=65534, extra_groups=[], cwd=root, capture_output=True, text=True, check=False
    )
    assert "well" in done.stdout, done.stderr
    assert (folder / "postgres" / "data").stat().st_uid == 65534


def test_a_data_directory_is_locked_by_one_process(folder: Path):
    in_use = pytest.raises(StartError, match=f"in use by process {os.getpid()}")
    with locked_data_dir(folder / "data"), in_use, locked_data_dir(folder / "data"):
        pass
    with locked_data_dir(folder / "data"):
        pass


def test_a_file_is_not_a_data_directory(folder: Path):
    (folder / "file").write_text("")
    with pytest.raises(StartError, match="is a file"), locked_data_dir(folder / "file"):
        pass
    with (
        pytest.raises(StartError, match="cannot be written: Not a directory"),
        locked_data_dir(folder / "file" / "below"),
    ):
        pass
