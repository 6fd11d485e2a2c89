"""What docker-compose.yml runs, without Docker: its nats.conf, the secrets that are made for it, and its environments."""

import contextlib
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from libs.process.embedded.nats import find_nats_server
from tests.support.cluster import ServiceProcess
from tests.support.ports import free_port
from tests.support.processes import ROOT, Process
from tests.support.servers import scratch

sys.path.insert(0, str(ROOT / "deploy"))
import make_secrets

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
LOCATION = "${VEDETTE_LOCATION:-local}"


@dataclass
class Deployed:
    """The server of compose, and services with the credentials that compose hands them."""

    directory: Path
    dsn: str
    port: int = field(default_factory=free_port)
    services: dict[str, ServiceProcess] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # As in the container: /etc/vedette/nats.conf beside /run/secrets.
        self.secrets = self.directory / "run" / "secrets"
        self.conf = self.directory / "etc" / "vedette" / "nats.conf"
        for folder in (self.secrets, self.conf.parent):
            folder.mkdir(parents=True)
        make_secrets.write_secrets(self.secrets, [])
        self._write_conf()
        self.log = self.directory / "nats.log"
        self.nats = Process("nats-server", [find_nats_server(), "-c", str(self.conf)], log=self.log)

    def environment(self, name: str) -> dict[str, str]:
        """Returns what compose sets for this service, with this machine's places."""
        service = COMPOSE["services"][name]
        given = {key: str(value).replace(LOCATION, "local") for key, value in service["environment"].items()}
        given = {key: value for key, value in given.items() if "${" not in value}
        for secret in service["secrets"]:
            file = Path(COMPOSE["secrets"][secret]["file"].replace(LOCATION, "local")).name
            given = {
                key: value.replace(f"/run/secrets/{secret}", str(self.secrets / file)) for key, value in given.items()
            }
        given = {key: value.replace("@nats:4222", f"@127.0.0.1:{self.port}") for key, value in given.items()}
        if "VEDETTE_POSTGRES_DSN" in given:
            del given["VEDETTE_POSTGRES_PASSWORD_FILE"]
            given["VEDETTE_POSTGRES_DSN"] = self.dsn
        return given

    def start(self, *names: str) -> None:
        self.nats.start()
        for name in names:
            self.services[name] = ServiceProcess((name,), self.directory, self.environment(name))
            self.services[name].start()
        for service in self.services.values():
            service.wait_ready()

    def violations(self) -> list[str]:
        """Returns what the server refused to somebody whom it had let in."""
        return [line for line in self.log.read_text().splitlines() if "Violation" in line]

    def logs(self) -> str:
        return "\n".join([self.nats.tail(), *(each.process.tail(30) for each in self.services.values())])

    def stop(self) -> None:
        for process in (*(each.process for each in self.services.values()), self.nats):
            process.kill()

    def _write_conf(self) -> None:
        text = (ROOT / "deploy" / "nats" / "nats.conf").read_text()
        text = text.replace("0.0.0.0:4222", f"127.0.0.1:{self.port}").replace(
            "0.0.0.0:8222", f"127.0.0.1:{free_port()}"
        )
        self.conf.write_text(text.replace('"/data"', f'"{self.directory / "data"}"'))


@contextlib.contextmanager
def deployed(dsn: str) -> Iterator[Deployed]:
    """On failure the logs are printed."""
    with scratch("deployed") as directory:
        house = Deployed(directory, dsn)
        try:
            yield house
        except BaseException:
            print(house.logs())
            raise
        finally:
            house.stop()
            shutil.rmtree(directory / "data", ignore_errors=True)
