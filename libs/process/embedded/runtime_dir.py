"""A short private directory for PostgreSQL's socket, and its binaries where its user can run them."""

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

# The path of a Unix socket has at most 107 bytes, which rules out most data directories.
_SOCKET_PATH_MAX = 100
_PATH_FILE = "private"


@dataclass(frozen=True)
class RuntimeDir:
    """Where the socket goes, and from where PostgreSQL is run."""

    socket: Path
    install: Path


@contextlib.contextmanager
def temporary_runtime_dir(folder: Path, install: Path, account: UnixAccount | None) -> Iterator[RuntimeDir]:
    """Gives a directory that lasts as long as the context; one that was left behind by a crash is removed first.

    `folder` remembers where it is.
    """
    _remove_stale(folder / _PATH_FILE)
    root, private = _create(install, account)
    (folder / _PATH_FILE).write_text(str(root), encoding="utf-8")
    # The lock keeps cleaners of temporary files away (systemd-tmpfiles heeds it).
    lock = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield private
    finally:
        os.close(lock)
        _remove_stale(folder / _PATH_FILE)


def _create(install: Path, account: UnixAccount | None) -> tuple[Path, RuntimeDir]:
    for parent in dict.fromkeys(("/tmp", tempfile.gettempdir(), "/var/tmp", "/run", "/var/lib")):  # noqa: S108
        if not os.access(parent, os.W_OK) or len(parent) > _SOCKET_PATH_MAX - 40:
            continue
        root = Path(tempfile.mkdtemp(prefix="vedette-", dir=parent))
        private = _prepare(root, install, account)
        if private:
            return root, private
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
    """Copies the wheel's tree as far as the server needs it, in the same shape, since it finds its parts by it."""
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
    words = [*launcher_argv(signal.SIGKILL, account), str(install / "bin" / "postgres"), "--version"]
    return subprocess.run(words, cwd="/", capture_output=True, check=False, timeout=10).returncode == 0  # noqa: S603


def _remove_stale(note: Path) -> None:
    if note.exists():
        root = Path(note.read_text(encoding="utf-8").strip())
        if root.name.startswith("vedette-") and root.is_dir():
            shutil.rmtree(root, ignore_errors=True)
        note.unlink()
