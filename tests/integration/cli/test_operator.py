"""Operator commands beside a running `vedette up`: tenants, keys and the audit log."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import Answer, Api
from tests.support.ports import free_port
from tests.support.processes import ROOT, Process
from tests.support.servers import scratch


class OperatorCli:
    """Runs operator commands in the directory of an installation."""

    def __init__(self, data: Path, port: int) -> None:
        self.data, self.port = data, port

    def type(self, *words: str) -> subprocess.CompletedProcess[str]:
        env = {"PYTHONPATH": str(ROOT), "VEDETTE_DATA_DIR": str(self.data), "PATH": "/usr/bin:/bin"}
        command = [sys.executable, "-m", "services", *words]
        return subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False, timeout=50)

    def said(self, *words: str) -> str:
        done = self.type(*words)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def listed(self, *words: str) -> list[dict[str, Any]]:
        return list(json.loads(self.said(*words, "--json")))

    async def ask(self, key: str, path: str) -> Answer:
        async with Api(self.port, key) as api:
            return await api.ask("GET", path)

    def refused(self, *words: str) -> str:
        done = self.type(*words)
        assert done.returncode == 1
        return done.stderr


@pytest.fixture(scope="module")
def operator() -> Iterator[OperatorCli]:
    with scratch("operator") as folder:
        folder.chmod(0o700)
        at = OperatorCli(folder / "data", free_port())
        log = folder / "up.log"
        words = ["up", "--data-dir", str(at.data), "--port", str(at.port)]
        process = Process("up", [sys.executable, "-m", "services", *words], log=log, env={"PYTHONPATH": str(ROOT)})
        process.start()
        try:
            process.wait_until(lambda: "Ctrl-C stops everything." in log.read_text(), within_s=50)
            yield at
        finally:
            process.kill()


@pytest.mark.timeout(120)
async def test_a_new_tenant_gets_a_key_that_works_until_it_is_revoked(operator: OperatorCli):
    tenant_id = operator.said("tenant", "add", "acme", "--monitors-max", "5", "--interval-min", "60").strip()
    key = operator.said("key", "add", "--tenant", "acme", "--name", "site", "--scope", "read").strip()
    status, me, _ = await operator.ask(key, "/api/v2/me")
    assert (status, me["tenant_id"], me["scopes"], me["quota"]["monitors_max"]) == (200, tenant_id, ["read"], 5)
    (listed,) = operator.listed("key", "list", "--tenant", "acme")
    assert (listed["name"], listed["id"]) == ("site", me["key_id"])

    operator.said("key", "revoke", me["key_id"], "--tenant", "acme")
    assert (await operator.ask(key, "/api/v2/me")).status == 401
    deeds = [(deed["action"], deed["via"]) for deed in operator.listed("audit", "--tenant", "acme")]
    assert deeds == [("key.revoked", "cli"), ("key.created", "cli"), ("tenant.created", "cli")]


@pytest.mark.timeout(120)
def test_a_tenant_is_changed_and_listed(operator: OperatorCli):
    operator.said("tenant", "add", "umbrella")
    operator.said("tenant", "set", "umbrella", "--rename", "Umbrella Ltd", "--rate", "5:20")
    names = {each["name"]: each for each in operator.listed("tenant", "list")}
    assert names["Umbrella Ltd"]["rate"] == {"per_s": 5.0, "burst": 20}
    assert "umbrella" not in names
    table = operator.said("tenant", "list").splitlines()
    assert table[0].split()[:2] == ["id", "name"]
    assert any("Umbrella Ltd" in line and "5:20" in line for line in table)


@pytest.mark.timeout(120)
def test_errors_are_one_sentence(operator: OperatorCli):
    operator.said("tenant", "add", "twice")
    assert "name: There is a tenant of this name" in operator.refused("tenant", "add", "twice")
    assert "there is no tenant 'nobody'" in operator.refused("key", "list", "--tenant", "nobody")
    assert "which tenant? --tenant NAME" in operator.refused("key", "list")
    assert "There is no such key" in operator.refused("key", "revoke", "no-id", "--tenant", "twice")
    assert "nothing to change" in operator.refused("tenant", "set", "twice")
    away = OperatorCli(operator.data / "nowhere", operator.port)
    assert "NATS cannot be reached" in away.refused("tenant", "list")
