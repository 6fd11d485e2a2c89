"""Data directory of `vedette up`, locked against concurrent use."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from libs.process.errors import StartError


@contextlib.contextmanager
def locked_data_dir(path: Path) -> Iterator[Path]:
    """Yields the directory, created if missing and locked against a second process; StartError if impossible."""
    folder = path.absolute()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except FileExistsError as error:
        raise StartError(f"the data directory {folder} is a file: choose another with --data-dir") from error
    except OSError as error:
        raise StartError(f"the data directory {folder} cannot be written: {error.strerror}") from error
    try:
        _lock(lock, folder)
        yield folder
    finally:
        os.close(lock)


def make_private_dir(path: Path) -> None:
    """Creates a directory with mode 0700, unless it exists."""
    path.mkdir(mode=0o700, exist_ok=True)


def write_private_file(path: Path, text: str) -> None:
    """Writes a file with mode 0600 atomically."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _lock(lock: int, folder: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(lock, 32, 0).decode(errors="replace").strip()
        raise StartError(f"the data directory {folder} is in use by process {holder or '(unknown)'}") from error
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
