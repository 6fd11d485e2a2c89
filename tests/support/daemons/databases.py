"""MariaDB, PostgreSQL, Redis and memcached."""

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support.daemons.daemon import Daemon, binary, place, run_as, running


class MariaDb(Daemon):
    """A MariaDB that can be asked as its root."""

    def ask(self, query: str) -> str:
        """Returns the rows of the answer, columns apart by tabs."""
        client = binary("mariadb", "mariadb-server")
        address = ["--protocol=tcp", "-h", "127.0.0.1", "-P", str(self.port)]
        command = [client, "--no-defaults", *address, "-u", "root", "-N", "-e", query]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout


@contextlib.contextmanager
def mariadb(*options: str, tls: bool = True) -> Iterator[MariaDb]:
    server, installer = binary("mariadbd", "mariadb-server"), binary("mariadb-install-db", "mariadb-server")
    with place("mariadb") as own:
        data = own.make("data")
        make = [installer, "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal"]
        run_as(own, [*make, "--skip-test-db"])
        where = [f"--datadir={data}", f"--socket={own.folder / 'socket'}", f"--pid-file={own.folder / 'pid'}"]
        net = ["--bind-address=127.0.0.1", f"--port={own.port}"]
        shown = [f"--ssl-cert={own.certificate}", f"--ssl-key={own.certificate}"] if tls else []
        with running(
            "mariadbd", own, [server, "--no-defaults", *where, *net, *shown, *options], ready="ready for connections"
        ) as daemon:
            yield MariaDb(own, daemon.process, daemon._seen)


@contextlib.contextmanager
def postgresql(*, tls: bool) -> Iterator[Daemon]:
    """Debian's PostgreSQL: the one that Vedette brings is built without TLS."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), default=Path("/nonexistent"))
    server = binary("postgres", "postgresql", programs)
    with place("postgresql") as own:
        data = own.make("data")
        make = [str(programs / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "--no-sync", "--locale=C"]
        run_as(own, make)
        settings = {"listen_addresses": "127.0.0.1", "port": str(own.port), "unix_socket_directories": ""}
        settings |= {"log_connections": "on", "fsync": "off", "ssl": "on" if tls else "off"}
        settings |= {"ssl_cert_file": str(own.certificate), "ssl_key_file": str(own.certificate)} if tls else {}
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with running("postgres", own, [server, "-D", str(data), *flags], ready="ready to accept connections") as daemon:
            yield daemon


@contextlib.contextmanager
def redis(*options: str) -> Iterator[Daemon]:
    server = binary("redis-server", "redis-server")
    with place("redis") as own:
        net = ["--bind", "127.0.0.1", "--port", str(own.port), "--tls-port", str(own.tls_port)]
        files = ["--tls-cert-file", str(own.certificate), "--tls-key-file", str(own.certificate)]
        more = ["--tls-auth-clients", "no", "--save", "", "--dir", str(own.folder), "--loglevel", "verbose"]
        with running("redis-server", own, [server, *net, *files, *more, *options], ready="Ready to accept") as daemon:
            yield daemon


@contextlib.contextmanager
def redis_client(daemon: Daemon) -> Iterator[None]:
    """A client that Redis has let in, and that stays."""
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=20) as client:
        client.sendall(b"PING\r\n")
        assert client.recv(7) == b"+PONG\r\n"
        yield


@contextlib.contextmanager
def memcached(*, locked: bool = False) -> Iterator[Daemon]:
    """A memcached; `locked` makes it ask for a name and a password."""
    server = binary("memcached", "memcached")
    with place("memcached") as own:
        users = own.write("users", "somebody:something\n")
        command = [server, "-l", "127.0.0.1", "-p", str(own.port), "-U", "0", "-vv"]
        more = ["-Y", str(users)] if locked else []
        with running("memcached", own, [*command, *more], ready="server listening") as daemon:
            yield daemon
