"""What a person sees who types `vedette up`, adds a web site, and takes it away again."""

import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.canned import CannedServer
from tests.support.client import Api, SseEvent
from tests.support.load import draft
from tests.support.ports import free_port
from tests.support.processes import ROOT, Process
from tests.support.servers import scratch
from tests.support.wait import eventually

INTERVAL_S = 10
# For the way from the target through the pipeline to our eyes, beside the intervals that a promise speaks of.
SLACK_S = 5


class Laptop:
    """One `vedette up` in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port()
        self.data_dir = directory / "data"
        command = [sys.executable, "-m", "services", "up", "--data-dir", str(self.data_dir), "--port", str(self.port)]
        env = {"PYTHONPATH": str(ROOT), "VEDETTE_HEALTH_PORT": str(free_port())}
        self.process = Process("up", command, log=directory / "up.log", env=env)

    async def start(self) -> None:
        self.process.start()
        await eventually(self._serves, within_s=40, what="the API of vedette up")

    @property
    def key(self) -> str:
        return (self.data_dir / "admin.key").read_text().strip()

    def servers(self, name: str) -> list[psutil.Process]:
        """Returns the server processes of this name that run under it."""
        return [child for child in psutil.Process(self.process.pid).children() if child.name() == name]

    async def _serves(self) -> bool:
        assert self.process.running, self.process.tail()
        try:
            async with Api(self.port, self.key) as api:
                return (await api.ask("GET", "/api/v2/me")).status == 200
        except OSError:
            return False


@pytest.fixture
async def laptop() -> AsyncIterator[Laptop]:
    with scratch("up") as directory:
        laptop = Laptop(directory)
        try:
            await laptop.start()
            yield laptop
        finally:
            print(laptop.process.tail())
            laptop.process.terminate()


@pytest.fixture
def website() -> Iterator[CannedServer]:
    with scratch("site") as directory:
        server = CannedServer(directory)
        server.start()
        try:
            yield server
        finally:
            server.kill()


@pytest.mark.timeout(150)
async def test_a_web_site_goes_up_down_and_up_again(laptop: Laptop, website: CannedServer) -> None:
    async with Api(laptop.port, laptop.key) as api, api.events("/api/v2/results/stream") as events:
        path = f"/api/v2/monitors/{(await api.post('/api/v2/monitors', draft('site', website.url())))['id']}"
        await _reaches(api, path, "up", within_s=SLACK_S)
        website.kill()
        await _reaches(api, path, "down", within_s=2 * INTERVAL_S + SLACK_S)
        website.start()
        await _reaches(api, path, "up", within_s=INTERVAL_S + SLACK_S)
        await _stays(api, path, ["pending", "up", "down", "up"])
        assert await _seen_moves(events, 3) == ["up", "down", "up"]
        uptime = await api.get(f"{path}/uptime")
        assert 0 < uptime["uptime"] < 1
    laptop.process.signal(signal.SIGINT)
    assert laptop.process.wait() == 0, laptop.process.tail()


@pytest.mark.timeout(150)
async def test_the_servers_and_the_program_itself_may_be_killed(laptop: Laptop, website: CannedServer) -> None:
    async with Api(laptop.port, laptop.key) as api:
        path = f"/api/v2/monitors/{(await api.post('/api/v2/monitors', draft('site', website.url())))['id']}"
        await _reaches(api, path, "up", within_s=SLACK_S)
    for name in ("nats-server", "postgres"):
        for server in laptop.servers(name):
            server.kill()
        await _ticks_again(laptop, path)
    laptop.process.kill()
    await laptop.start()
    await _ticks_again(laptop, path)
    async with Api(laptop.port, laptop.key) as api:
        await _stays(api, path, ["pending", "up"])


async def _reaches(api: Api, path: str, status: str, *, within_s: float) -> None:
    async def reached() -> bool:
        return bool((await api.get(path))["state"]["status"] == status)

    await eventually(reached, within_s=within_s, what=f"state {status}")


async def _stays(api: Api, path: str, history: list[str]) -> None:
    """The monitor went through exactly these states, and each way down is one incident."""
    moves = (await api.get(f"{path}/transitions"))["items"][::-1]
    assert [moves[0]["old"], *(move["new"] for move in moves)] == history
    incidents = {move["incident_id"] for move in moves if move["new"] == "down"}
    assert len(incidents) == history.count("down")


async def _seen_moves(events: AsyncIterator[SseEvent], count: int) -> list[str]:
    moves: list[str] = []
    results = 0
    async for event in events:
        results += event.event == "result"
        if event.event == "transition":
            moves.append(event.data["transition"]["new"])
        if len(moves) == count:
            break
    assert results > count
    return moves


async def _ticks_again(laptop: Laptop, path: str) -> None:
    """Waits for the result of a tick after this moment, over a connection that may break meanwhile."""

    async def last() -> str:
        try:
            async with Api(laptop.port, laptop.key) as api:
                answer = await api.ask("GET", f"{path}/results?limit=1")
        except OSError:
            return ""
        return str(answer.body["items"][0]["tick_at"]) if answer.status == 200 else ""

    before = await eventually(last, within_s=30, what="the API again")

    async def moved_on() -> bool:
        return await last() > before

    await eventually(moved_on, within_s=3 * INTERVAL_S, what="a later result")
