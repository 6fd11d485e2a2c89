"""What all daemons share: where they come from, whom they run as, and what they write down."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from libs.process.embedded.server_process import launcher_argv
from libs.process.embedded.unix_account import UnixAccount, unprivileged_account
from tests.support.ports import free_port
from tests.support.processes import Process
from tests.support.servers import scratch
from tests.support.targets.certificates import Authority

READY_S = 50.0


def binary(name: str, package: str, folder: Path = Path("/usr/sbin")) -> str:
    """Returns the path of a daemon. Without its package a developer's test is skipped, and CI's fails."""
    found = shutil.which(name, path=f"{folder}:/usr/bin:/usr/lib/rabbitmq/bin")
    if found is None and os.environ.get("CI") == "true":
        pytest.fail(f"{name} is not here: tests/install-debian-packages installs {package}")
    if found is None:
        pytest.skip(f"{name} is not here (Debian package {package}, see tests/install-debian-packages)")
    return found


@dataclass
class Place:
    """A directory of a daemon's own, its ports, and the certificate that it shows."""

    folder: Path
    account: UnixAccount | None
    authority: Authority
    port: int = field(default_factory=free_port)
    tls_port: int = field(default_factory=free_port)

    @property
    def certificate(self) -> Path:
        """The file with key and certificate, which only the daemon can read."""
        return self.folder / "server.pem"

    def write(self, name: str, text: str) -> Path:
        """Writes a file of the daemon's."""
        path = self.folder / name
        path.write_text(text)
        self._give(path)
        return path

    def make(self, name: str) -> Path:
        """Makes a directory of the daemon's."""
        path = self.folder / name
        path.mkdir()
        self._give(path)
        return path

    def _give(self, path: Path) -> None:
        if self.account is not None:
            self.account.chown(path)


@dataclass
class Daemon:
    """A daemon that runs."""

    place: Place
    process: Process
    _seen: int = 0

    @property
    def port(self) -> int:
        return self.place.port

    @property
    def tls_port(self) -> int:
        return self.place.tls_port

    @property
    def ca_file(self) -> Path:
        return self.place.authority.ca_file

    def forget(self) -> None:
        """What was logged until now is not told by `complaints` and `logged`."""
        self._seen = len(self._text())

    def logged(self) -> str:
        return self._text()[self._seen :]

    def complaints(self) -> list[str]:
        """Returns the lines in which the daemon finds fault with us."""
        faults = r"\b(?:error|warn|fail|denied|abort|abuse|attack|refuse[ds]?\b|illegal|invalid|unexpected|reset|lost|timed? ?out)"
        return [line for line in self.logged().splitlines() if re.search(faults, line, re.IGNORECASE)]

    def _text(self) -> str:
        return self.process.log.read_text(errors="replace")


@contextlib.contextmanager
def place(name: str) -> Iterator[Place]:
    """A directory for one daemon, with the certificate of an authority of its own."""
    with scratch(name) as folder:
        account = unprivileged_account(Path("/nonexistent"))
        (folder / "authority").mkdir()
        made = Place(folder, account, Authority(folder / "authority"))
        made.write("server.pem", made.authority.server_file("localhost", "127.0.0.1").read_text()).chmod(0o600)
        if account is not None:
            account.chown(folder)
        yield made


def is_open(port: int) -> bool:
    """Tells whether a daemon has this port of 127.0.0.1, TCP or UDP, without a word to it that it could log."""
    tcp, udp = (Path("/proc/net", name).read_text() for name in ("tcp", "udp"))
    place = f" 0100007F:{port:04X} "
    return f"{place}00000000:0000 0A " in tcp or place in udp


def run_as(own: Place, command: Sequence[str]) -> None:
    """Runs a command to its end, as the user that the daemon will be."""
    words = [*launcher_argv(signal.SIGTERM, own.account), *command]
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=READY_S, cwd=own.folder)
    assert done.returncode == 0, done.stdout + done.stderr


@contextlib.contextmanager
def running(
    name: str,
    own: Place,
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    ready: str = "",
) -> Iterator[Daemon]:
    """Starts a daemon, waits until its port is open and its log says `ready`, and ends it."""
    process = Process(name, command, log=own.folder / "daemon.log", env=env, account=own.account)
    process.start()
    daemon = Daemon(own, process)
    try:
        process.wait_until(lambda: ready in daemon._text() and is_open(own.port), within_s=READY_S)
        daemon.forget()
        yield daemon
    finally:
        # Its whole group, which is its own: some are scripts, and what they have started would live on.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
