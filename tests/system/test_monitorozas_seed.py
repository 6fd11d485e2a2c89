"""The curl commands of Monitorozás.hu's own documentation, with another base URL, against `vedette up`."""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import Api
from tests.support.programs import installed
from tests.support.servers import scratch
from tests.system.test_user_story import Laptop

HERE = Path(__file__).parent
SCRIPT, EXPECTED = HERE / "monitorozas_seed.sh", HERE / "monitorozas_seed.txt"
COMMANDS = 14

# What differs from run to run; how the checks went is not what this is about.
VARYING = {
    **dict.fromkeys(("created_at", "updated_at"), "TIME"),
    **dict.fromkeys(("last_status", "last_check_at", "last_error"), "LAST"),
    "monitor_id": "MONITOR",
}


@pytest.fixture
async def laptop(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Laptop]:
    installed("curl")
    monkeypatch.setenv("VEDETTE_RESOLVERS", "127.0.0.1:9")  # nobody is there: no check leaves this machine
    with scratch("seed") as directory:
        laptop = Laptop(directory)
        try:
            await laptop.start()
            yield laptop
        finally:
            laptop.process.terminate()


@pytest.mark.timeout(150)
async def test_the_commands_of_the_documentation_work_as_they_are(laptop: Laptop) -> None:
    async with Api(laptop.port, laptop.key) as api:
        # The documentation deletes device 31 and blacklist monitor 5: those that its second create makes.
        await _use_up_numbers(api, "devices", 29)
        await _use_up_numbers(api, "blacklist-monitors", 3)
    said = _comparable(await _run(laptop))
    assert said.count("HTTP/1.1") == COMMANDS
    assert said == EXPECTED.read_text()


async def _use_up_numbers(api: Api, resource: str, count: int) -> None:
    for number in range(1, count + 1):
        body = {"target_type": "domain", "target_value": "pelda.hu", "service_type": "ping"}
        answer = await api.post(f"/api/v1/{resource}/create", body)
        assert answer["data"]["id"] == number
        await api.delete(f"/api/v1/{resource}/delete?id={number}")


async def _run(laptop: Laptop) -> str:
    """Returns what the script writes."""
    given = {"BASE": f"http://127.0.0.1:{laptop.port}/api/v1", "KEY": laptop.key, "no_proxy": "127.0.0.1"}
    pipe = asyncio.subprocess.PIPE
    script = await asyncio.create_subprocess_exec(str(SCRIPT), env=os.environ | given, stdout=pipe, stderr=pipe)
    async with asyncio.timeout(60):
        out, err = await script.communicate()
    assert script.returncode == 0, err.decode()
    return out.decode().replace("\r\n", "\n")


def _comparable(said: str) -> str:
    """Returns each answer as its status line, its content type, and its body with what varies taken out."""
    answers = re.findall(r"=== (.*)\n(.*)\n((?:.+\n)+)\n(.*)", said)
    return "\n".join(_answer(*answer) for answer in answers)


def _answer(title: str, status: str, head: str, body: str) -> str:
    headers = dict(line.lower().split(": ", 1) for line in head.splitlines())
    shown = json.dumps(_placeholders(json.loads(body)), indent=2, ensure_ascii=False)
    return f"=== {title}\n{status.strip()}\ncontent-type: {headers['content-type']}\n\n{shown}\n"


def _placeholders(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: VARYING.get(key) or _placeholders(item) for key, item in value.items()}
    return [_placeholders(item) for item in value] if isinstance(value, list) else value
