"""A real nats-server and a real PostgreSQL on free loopback ports, to be killed and started again."""

import contextlib
import itertools
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from libs.process.embedded.nats import find_nats_server
from libs.process.embedded.postgres import _SERVER_SETTINGS, find_postgres
from libs.process.embedded.runtime_dir import temporary_runtime_dir
from libs.process.embedded.server_process import launcher_argv
from libs.process.embedded.unix_account import UnixAccount, unprivileged_account
from tests.support.ports import free_port
from tests.support.processes import Process, ProcessDiedError
from tests.support.wait import wait_until


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
    """One nats-server with JetStream on disk. `jetstream_bytes_max` makes its disk as small as a test needs.

    `more` is added to its configuration.
    """

    def __init__(self, directory: Path, *, jetstream_bytes_max: int | None = None, more: str = "") -> None:
        self.port = free_port()
        self.store = directory / "jetstream"
        config = directory / "nats.conf"
        limit = "" if jetstream_bytes_max is None else f"max_file_store: {jetstream_bytes_max}"
        config.write_text(
            f'listen: "127.0.0.1:{self.port}"\njetstream {{\n  store_dir: "{self.store}"\n  {limit}\n}}\n{more}'
        )
        self.process = Process("nats-server", [find_nats_server(), "-c", str(config)], log=directory / "nats.log")

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Returns once clients are let in, which is after the streams on disk are read."""
        self.process.start()
        self.wait_ready()

    def wait_ready(self) -> None:
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
    """One PostgreSQL cluster with the settings of the embedded one, but on TCP and without a password."""

    def __init__(self, directory: Path, install: Path, account: UnixAccount | None, *, durable: bool) -> None:
        self.port = free_port()
        self.data = directory / "pgdata"
        self._install, self._account = install, account
        self._numbers = itertools.count(1)
        self._make_cluster()
        settings = _SERVER_SETTINGS | {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "on" if durable else "off",
        }
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = [str(install / "bin" / "postgres"), "-D", str(self.data), *flags]
        self.process = Process("postgres", command, log=directory / "postgres.log", account=account)

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
        command = [str(find_postgres() / "bin" / "psql"), "-X", "-q", "-d", self.dsn(), "-c", query]
        subprocess.run(command, check=True, capture_output=True, timeout=20)

    def _make_cluster(self) -> None:
        self.data.mkdir()
        if self._account is not None:
            self._account.chown(self.data)
        command = [str(self._install / "bin" / "initdb"), "-D", str(self.data), "-U", "postgres", "-A", "trust"]
        command += ["-E", "UTF8", "--locale=C", "--no-sync"]
        command = [*launcher_argv(signal.SIGTERM, self._account), *command]
        subprocess.run(command, check=True, capture_output=True, timeout=60, cwd=self.data)


@contextlib.contextmanager
def running_nats(*, jetstream_bytes_max: int | None = None) -> Iterator[NatsServer]:
    """A nats-server with an empty disk."""
    with scratch("nats") as directory:
        server = NatsServer(directory, jetstream_bytes_max=jetstream_bytes_max)
        server.start()
        try:
            yield server
        finally:
            server.kill()


@contextlib.contextmanager
def running_postgres(*, durable: bool = False) -> Iterator[PostgresServer]:
    """A PostgreSQL without databases. Not `durable` skips fsync: a killed process loses nothing by it."""
    account = unprivileged_account(Path("/nonexistent"))
    with scratch("postgres") as directory, temporary_runtime_dir(directory, find_postgres(), account) as private:
        server = PostgresServer(directory, private.install, account, durable=durable)
        server.start()
        try:
            yield server
        finally:
            server.stop()
