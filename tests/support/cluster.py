"""The services as operating system processes against one NATS and one Postgres, which is what compose does."""

import contextlib
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.support.ports import free_port
from tests.support.processes import ROOT, Process
from tests.support.servers import NatsServer, PostgresServer, running_nats, running_postgres, scratch

SERVICES = ("results", "gateway", "http")
# For those who ask more often than a key may.
NO_LIMIT = {"VEDETTE_KEY_REQUESTS_PER_S": "0", "VEDETTE_TENANT_REQUESTS_PER_S": "0"}


class ServiceProcess:
    """One `vedette run NAME...`, with its own health port."""

    def __init__(self, names: tuple[str, ...], directory: Path, settings: dict[str, str]) -> None:
        self.health_port = free_port()
        self.port = free_port()
        env = {
            "VEDETTE_PORT": str(self.port),
            "VEDETTE_HEALTH_PORT": str(self.health_port),
            "VEDETTE_LOG_FORMAT": "json",
            "PYTHONPATH": str(ROOT),
            **settings,
        }
        name = "-".join(names)
        log = directory / f"{name}-{self.health_port}.log"
        self.process = Process(name, [sys.executable, "-m", "services", "run", *names], log=log, env=env)

    def start(self) -> None:
        """Starts it, without waiting until it serves."""
        self.process.start()

    def kill(self) -> None:
        self.process.kill()

    @property
    def ready(self) -> bool:
        return _status(f"http://127.0.0.1:{self.health_port}/health/ready") == 200

    def wait_ready(self, within_s: float = 40) -> None:
        self.process.wait_until(lambda: self.ready, within_s=within_s)


class Cluster:
    """NATS, Postgres and services. `key` is the admin key of its tenant once `bootstrap` made it."""

    def __init__(self, directory: Path, nats: NatsServer, postgres: PostgresServer, dsn: str) -> None:
        self.nats, self.postgres, self.dsn = nats, postgres, dsn
        self.services: dict[str, ServiceProcess] = {}
        self.key = ""
        self.directory = directory

    @property
    def api_port(self) -> int:
        return self.services["gateway"].port

    def settings(self) -> dict[str, str]:
        return {"VEDETTE_NATS_URL": self.nats.url, "VEDETTE_POSTGRES_DSN": self.dsn}

    def add(self, *names: str, **settings: str) -> ServiceProcess:
        """Starts one process that runs these services. It is called by their names; a second one also by a number."""
        service = ServiceProcess(names, self.directory, self.settings() | settings)
        name = "-".join(names)
        self.services[f"{name}-{len(self.services)}" if name in self.services else name] = service
        service.start()
        return service

    def start(self, *names: str, **settings: str) -> None:
        """Starts a process for each service, waits until all are ready, and makes the tenant's key."""
        for name in names or SERVICES:
            self.add(name, **settings)
        for service in self.services.values():
            service.wait_ready()
        self.key = bootstrap(self.settings(), self.directory)

    def stop(self) -> None:
        for service in self.services.values():
            service.process.kill()

    def logs(self) -> str:
        return "\n\n".join(service.process.tail(40) for service in self.services.values())


def bootstrap(settings: dict[str, str], directory: Path) -> str:
    """Returns the first admin key, made by the command that a person would type."""
    log = directory / "bootstrap.log"
    process = Process("bootstrap", [sys.executable, "-m", "services", "bootstrap"], log=log, env=settings)
    process.start()
    assert process.wait() == 0, process.tail()
    return next(word for word in log.read_text().split() if word.startswith("vdt_"))


@contextlib.contextmanager
def running_cluster(*, jetstream_bytes_max: int | None = None, **settings: str) -> Iterator[Cluster]:
    """A whole cluster of its own, servers included, ready to be used. On failure its logs are printed."""
    with (
        scratch("cluster") as directory,
        running_nats(jetstream_bytes_max=jetstream_bytes_max) as nats,
        running_postgres() as postgres,
    ):
        cluster = Cluster(directory, nats, postgres, postgres.new_database())
        try:
            cluster.start(**settings)
            yield cluster
        except BaseException:
            print(cluster.logs())
            raise
        finally:
            cluster.stop()


def _status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return 0
