"""Temporary directory with PostgreSQL's socket and, if its user needs them, copies of its binaries."""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from libs.process.embedded.server_process import launcher_argv
from libs.process.embedded.unix_account import UnixAccount
from libs.process.errors import StartError

# The path of a Unix socket has at most 107 bytes, too few for most data directories.
_SOCKET_PATH_MAX = 100
_PATH_FILE = "private"


@dataclass(frozen=True)
class RuntimeDir:
    """Directory of the socket, and the installation from which PostgreSQL runs."""

    socket: Path
    install: Path


@contextlib.contextmanager
def temporary_runtime_dir(folder: Path, install: Path, account: UnixAccount | None) -> Iterator[RuntimeDir]:
    """Yields a directory that exists as long as the context; removes one left by a crash first.

    Its path is recorded in `folder`.
    """
    _remove_stale(folder / _PATH_FILE)
    root, runtime = _create(install, account)
    (folder / _PATH_FILE).write_text(str(root), encoding="utf-8")
    # systemd-tmpfiles does not clean up a locked directory.
    lock = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield runtime
    finally:
        os.close(lock)
        _remove_stale(folder / _PATH_FILE)


def _create(install: Path, account: UnixAccount | None) -> tuple[Path, RuntimeDir]:
    for parent in dict.fromkeys(("/tmp", tempfile.gettempdir(), "/var/tmp", "/run", "/var/lib")):  # noqa: S108
        if not os.access(parent, os.W_OK) or len(parent) > _SOCKET_PATH_MAX - 40:
            continue
        root = Path(tempfile.mkdtemp(prefix="vedette-", dir=parent))
        runtime = _prepare(root, install, account)
        if runtime:
            return root, runtime
        shutil.rmtree(root, ignore_errors=True)
    raise StartError("PostgreSQL found no temporary directory in which its user may run it and open a socket")


def _prepare(root: Path, install: Path, account: UnixAccount | None) -> RuntimeDir | None:
    socket = root / "socket"
    socket.mkdir(mode=0o700)
    if account is None:
        return RuntimeDir(socket, install)
    root.chmod(0o711)
    account.chown(socket)
    if _can_run(install, account):
        return RuntimeDir(socket, install)
    copied = _copy_install(install, root / "install")
    return RuntimeDir(socket, copied) if _can_run(copied, account) else None


def _copy_install(install: Path, root: Path) -> Path:
    """Copies the required files of the wheel, with its directory layout, by which PostgreSQL finds its parts."""
    target = root / install.parent.name / install.name
    for name in ("bin/postgres", "bin/initdb"):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(install / name, target / name)
    for name in ("lib", "share"):
        shutil.copytree(install / name, target / name)
    libraries = install.parent.with_name(install.parent.name + ".libs")
    if libraries.exists():
        shutil.copytree(libraries, root / libraries.name)
    _make_world_readable(root)
    return target


def _make_world_readable(root: Path) -> None:
    for directory, _, names in os.walk(root):
        Path(directory).chmod(0o755)
        for name in names:
            path = Path(directory, name)
            path.chmod(0o755 if os.access(path, os.X_OK) else 0o644)


def _can_run(install: Path, account: UnixAccount) -> bool:
    command = [*launcher_argv(signal.SIGKILL, account), str(install / "bin" / "postgres"), "--version"]
    return subprocess.run(command, cwd="/", capture_output=True, check=False, timeout=10).returncode == 0  # noqa: S603


def _remove_stale(path_file: Path) -> None:
    if path_file.exists():
        root = Path(path_file.read_text(encoding="utf-8").strip())
        if root.name.startswith("vedette-") and root.is_dir():
            shutil.rmtree(root, ignore_errors=True)
        path_file.unlink()
