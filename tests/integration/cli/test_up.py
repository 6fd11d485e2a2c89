"""`vedette up` as a process: started twice, killed, and stopped."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from libs.model.tenancy import new_api_key
from tests.support.guarded_nats import guest, is_let_in
from tests.support.ports import free_port
from tests.support.processes import ROOT, Process
from tests.support.servers import scratch


class UpProcess:
    """A data directory and the process that uses it."""

    def __init__(self, folder: Path) -> None:
        self.port, self.health_port = free_port(), free_port()
        self.data = folder / "data"
        self.folder = folder
        self.starts = 0

    def start(self, *options: str) -> str:
        """Starts it; returns what it said until it was ready."""
        log = self._begin(options)
        self.process.wait_until(lambda: "Ctrl-C stops everything." in log.read_text(), within_s=50)
        return log.read_text()

    def start_fails(self, *options: str) -> str:
        """Starts it in vain; returns what it said."""
        log = self._begin(options)
        assert self.process.wait() == 1
        return log.read_text()

    def _begin(self, options: tuple[str, ...]) -> Path:
        self.starts += 1
        log = self.folder / f"{self.starts}.log"
        env = {"PYTHONPATH": str(ROOT), "VEDETTE_HEALTH_PORT": str(self.health_port)}
        command = [sys.executable, "-m", "services", "up", "--data-dir", str(self.data), "--port", str(self.port)]
        self.process = Process("up", [*command, *options], log=log, env=env)
        self.process.start()
        return log

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.signal(number)
        return self.process.wait()


@pytest.fixture
def up() -> Iterator[UpProcess]:
    """A directory with mode 0700, as below /root."""
    with scratch("up") as folder:
        folder.chmod(0o700)
        made = UpProcess(folder)
        try:
            yield made
        finally:
            if made.starts:
                made.process.kill()


def fetch_me(port: int, key: str) -> dict[str, object]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/api/v2/me", headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return dict(json.load(answer))


def fetch_probe(port: int) -> bytes:
    """Returns what Prometheus on this machine is told, without a key, of the program itself."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/probe?target=127.0.0.1:{port}/docs", timeout=20) as answer:
        return bytes(answer.read())


@pytest.mark.timeout(180)
def test_the_key_is_printed_once_and_survives_kill_9_and_a_clean_stop(up: UpProcess):
    said = up.start()
    key = (up.data / "admin.key").read_text().strip()
    assert said.count(key) == 1
    assert stat.S_IMODE((up.data / "admin.key").stat().st_mode) == 0o600
    sealing_keys = up.data / "sealing.keys"
    sealing_key = sealing_keys.read_text()
    assert stat.S_IMODE(sealing_keys.stat().st_mode) == 0o600
    assert sealing_key.strip() not in said
    assert f"http://127.0.0.1:{up.port}/docs" in said
    assert "admin" in fetch_me(up.port, key)["scopes"]  # type: ignore[operator]
    assert b"\nprobe_success 1.0\n" in fetch_probe(up.port)

    up.process.kill()
    assert key not in up.start()
    assert fetch_me(up.port, key)

    assert up.stop() == 0
    assert key not in up.start()
    assert fetch_me(up.port, key)
    assert sealing_keys.read_text() == sealing_key
    assert up.stop(signal.SIGINT) == 0


def is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.mark.timeout(180)
def test_ready_means_that_the_key_in_the_file_works(up: UpProcess):
    for _ in range(3):
        up._begin(())
        up.process.wait_until(lambda: is_ready(up.port), within_s=50)
        assert fetch_me(up.port, (up.data / "admin.key").read_text().strip())
        assert not (up.data / "admin.key.pending").exists()
        up.process.kill()


@pytest.mark.timeout(180)
def test_a_key_pending_at_a_crash_is_registered_by_the_next_start(up: UpProcess):
    up.data.mkdir(mode=0o700)
    (up.data / "admin.key.pending").write_text(key := new_api_key())
    assert key in up.start()
    assert (up.data / "admin.key").read_text().strip() == key
    assert "admin" in fetch_me(up.port, key)["scopes"]  # type: ignore[operator]
    assert up.stop() == 0


@pytest.mark.timeout(180)
def test_a_key_written_to_disk_before_it_was_stored_is_stored_at_the_next_start(up: UpProcess):
    up.data.mkdir(mode=0o700)
    (up.data / "admin.key").write_text(key := new_api_key())
    assert key not in up.start()
    assert "admin" in fetch_me(up.port, key)["scopes"]  # type: ignore[operator]
    assert up.stop() == 0
    (up.data / "admin.key").unlink()
    assert "created earlier" in up.start()
    assert not (up.data / "admin.key").exists()
    assert up.stop() == 0


@pytest.mark.timeout(120)
def test_while_running_its_directory_is_locked_and_its_health_is_served(up: UpProcess):
    up.start()
    command = [sys.executable, "-m", "services", "up", "--data-dir", str(up.data), "--port", str(free_port())]
    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=50)
    assert second.returncode == 1
    assert re.fullmatch(rf"vedette: the data directory .* is in use by process {up.process.pid}\n", second.stderr)
    env = {**os.environ, "VEDETTE_HEALTH_PORT": str(up.health_port)}
    asked = [sys.executable, "-S", str(ROOT / "deploy" / "healthcheck.py")]
    healthy = subprocess.run(asked, env=env, capture_output=True, text=True, check=False, timeout=20)
    assert healthy.returncode == 0, healthy.stdout
    assert json.loads(healthy.stdout)["ready"] is True
    assert up.stop() == 0
    assert subprocess.run(asked, env=env, capture_output=True, check=False, timeout=20).returncode == 1


@pytest.mark.timeout(120)
async def test_its_nats_listens_where_configured_and_accepts_a_key(up: UpProcess):
    address = f"127.0.0.1:{free_port()}"
    said = up.start("--nats-listen", address)
    assert f"NATS           nats://{address} " in said
    key = (up.data / "admin.key").read_text().strip()
    async with guest(f"nats://key:{key}@{address}") as tenant:
        await tenant.subscribe(f"live.results.{fetch_me(up.port, key)['tenant_id']}.>")
        assert "violation" in await tenant.refusal_of_subscribing("live.results.>")
        assert "violation" in await tenant.refusal_of_publishing("x")
    assert not await is_let_in(f"nats://vedette:{key}@{address}")
    assert up.stop() == 0
    # create_server sets SO_REUSEADDR: closed connections of the guest may still be in TIME_WAIT on this port.
    with socket.create_server(("127.0.0.1", int(address.rpartition(":")[2]))):
        assert address.rpartition(":")[2] in up.start_fails("--nats-listen", address)


@pytest.mark.timeout(120)
def test_external_servers_replace_the_embedded_ones(up: UpProcess, nats_url: str, postgres_dsn: str):
    said = up.start("--nats", nats_url, "--postgres", postgres_dsn)
    assert "nats-server" not in said
    assert fetch_me(up.port, (up.data / "admin.key").read_text().strip())
    assert up.stop() == 0
    assert {path.name for path in up.data.iterdir()} == {"lock", "admin.key", "sealing.keys"}
