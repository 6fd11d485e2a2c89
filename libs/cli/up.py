"""`vedette up`: the two servers, every service, a tenant and its key, in one process and one directory."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec

from libs.cli.bootstrap import first_key
from libs.cli.progress import Progress
from libs.model.tenancy import KeyCreated
from libs.process.embedded.datadir import claimed, write_private
from libs.process.embedded.nats import nats_server
from libs.process.embedded.postgres import postgres_server
from libs.process.errors import StartError
from libs.process.health import Health
from libs.process.http import listening, url
from libs.process.run import running
from libs.process.service import Service
from libs.process.settings import Settings
from libs.process.signals import Stop

TENANT = "default"
KEY_FILE = "admin.key"
READY_S_MAX = 60.0
_POLL_S = 0.05


async def up(services: tuple[Service, ...], settings: Settings, *, embed: tuple[bool, bool], stop: Stop) -> None:
    """Keeps everything running until `stop`. `embed` says which of NATS and PostgreSQL are ours."""
    progress = Progress()
    with claimed(Path(settings.data_dir)) as folder:
        with listening(settings.host, settings.port):
            pass  # a taken port is said before anything else is begun
        progress.say(f"Vedette keeps its data in {folder}")
        async with AsyncExitStack() as stack:
            for server, wanted in zip((_nats, _postgres), embed, strict=True):
                if wanted:
                    settings = await stack.enter_async_context(server(folder, settings, progress))
            await _serve(services, settings, folder, progress, stop)
        progress.say("Stopped.")


async def _serve(
    services: tuple[Service, ...], settings: Settings, folder: Path, progress: Progress, stop: Stop
) -> None:
    async with AsyncExitStack() as stack:
        with progress.step("services", ", ".join(service.name for service in services)):
            context = await stack.enter_async_context(running(services, settings))
            await _until_ready(context.health)
        key = await first_key(context.bus, TENANT)
        _greet(settings, _kept(key, folder), progress)
        await stop.wait()
        progress.say("Stopping: checks in flight finish first; Ctrl-C again ends at once.")


@asynccontextmanager
async def _nats(folder: Path, settings: Settings, progress: Progress) -> AsyncIterator[Settings]:
    async with AsyncExitStack() as stack:
        with progress.step("nats-server", "streams in nats/"):
            nats_url, _ = await stack.enter_async_context(nats_server(folder / "nats"))
        yield msgspec.structs.replace(settings, nats_url=nats_url)


@asynccontextmanager
async def _postgres(folder: Path, settings: Settings, progress: Progress) -> AsyncIterator[Settings]:
    fresh = not (folder / "postgres" / "data").exists()
    async with AsyncExitStack() as stack:
        with progress.step("PostgreSQL", "making its database in postgres/" if fresh else "database in postgres/"):
            dsn, _ = await stack.enter_async_context(postgres_server(folder / "postgres"))
        yield msgspec.structs.replace(settings, postgres_dsn=dsn)


async def _until_ready(health: Health) -> None:
    until = time.monotonic() + READY_S_MAX
    while not (report := await health.report()).ready:
        if time.monotonic() > until:
            missing = "; ".join(f"{name}: {text}" for name, text in report.checks.items() if text != "ok")
            raise StartError(f"not ready after {READY_S_MAX:g} s: {missing}")
        await asyncio.sleep(_POLL_S)


def _kept(key: KeyCreated | None, folder: Path) -> str:
    """Writes a new key down; returns the line that tells about it."""
    path = folder / KEY_FILE
    shown = os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
    if key is None:
        return f"in {shown}" if path.exists() else "made earlier (POST /api/v2/keys makes more)"
    write_private(path, key.key + "\n")
    return f"{key.key}   (shown this once; kept in {shown})"


def _greet(settings: Settings, key: str, progress: Progress) -> None:
    base = url(settings.host, settings.port)
    progress.say(f"\n  API            {base}/api/v2")
    if settings.api_docs:
        progress.say(f"  Documentation  {base}/docs")
    progress.say(f"  Admin key      {key}\n\nCtrl-C stops everything.")
