"""Keys are replaced while monitors run: with both keys all opens, with the newest alone what was sealed anew."""

import subprocess
import sys
from typing import Any

import pytest

from libs.sealing.keys import new_key
from tests.support.client import Api
from tests.support.processes import ROOT
from tests.support.sealed_house import KEYS, SealedHouse, running_house
from tests.support.target import serve_target

V2 = "/api/v2"


def reseal(house: SealedHouse, keys: str) -> subprocess.CompletedProcess[str]:
    env = {**house.settings(), KEYS: keys, "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-m", "services", "reseal"]
    return subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False, timeout=50)


async def create(house: SealedHouse, url: str, token: str) -> str:
    async with Api(house.api_port, house.key) as api:
        spec = {"kind": "http", "url": url, "bearer_token": token, "headers": {"X-Token": token}}
        return str((await api.post(f"{V2}/monitors", {"name": token, "interval_s": 86400, "spec": spec}))["id"])


async def looked(house: SealedHouse, *monitor_ids: str) -> list[Any]:
    """Checks the monitors now; returns the reason of each."""
    async with Api(house.api_port, house.key) as api:
        return [(await api.post(f"{V2}/checks", {"monitor_id": each}))["reason"] for each in monitor_ids]


@pytest.mark.timeout(180)
async def test_a_key_is_replaced_in_three_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEYS, raising=False)
    old, new = new_key(), new_key()
    async with serve_target() as target:
        with running_house(old) as house:
            first = await create(house, target.url("/first"), "one")
            for name in ("http", "gateway"):  # 1. Both keys, the new one first.
                house.give(name, f"{new},{old}")
            second = await create(house, target.url("/second"), "two")
            assert await looked(house, first, second) == ["ok", "ok"]

            house.give("http", new)
            assert await looked(house, first, second) == ["secret_unreadable", "ok"]
            refused = reseal(house, new)
            assert (refused.returncode, refused.stdout) == (1, "")
            assert first in refused.stderr
            assert second not in refused.stderr

            done = reseal(house, f"{new},{old}")  # 2. What is stored is sealed with the new one.
            assert (done.returncode, done.stderr) == (0, "")
            assert done.stdout.startswith("1 monitors were sealed anew")
            assert await looked(house, first, second) == ["ok", "ok"]  # 3. The old one is not needed any more.
            assert reseal(house, new).stdout.startswith("0 monitors were sealed anew")
            house.give("http", old)
            assert await looked(house, first, second) == ["secret_unreadable", "secret_unreadable"]


def test_without_a_key_nothing_is_sealed_anew(nats_url: str) -> None:
    env = {"VEDETTE_NATS_URL": nats_url, "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-m", "services", "reseal"]
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False, timeout=50)
    assert done.returncode == 1
    assert "VEDETTE_SEALING_KEYS" in done.stderr
