"""`vedette up`: the two servers, every service, a tenant and its key, in one process and one directory."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec

from libs.bus.bus import Bus, without_credentials
from libs.cli.bootstrap import first_key
from libs.cli.progress import Progress
from libs.model.tenancy import is_secret, new_secret
from libs.process.embedded.datadir import claimed, write_private
from libs.process.embedded.nats import nats_server
from libs.process.embedded.postgres import postgres_server
from libs.process.errors import StartError
from libs.process.health import Health
from libs.process.http import listening, url
from libs.process.run import running
from libs.process.service import Service
from libs.process.settings import Settings, load, variable
from libs.process.signals import Stop
from libs.sealing import keys

TENANT = "default"
KEY_FILE = "admin.key"
SEALING_FILE = "sealing.keys"
READY_S_MAX = 60.0
_POLL_S = 0.05


async def up(services: tuple[Service, ...], settings: Settings, *, embed: tuple[bool, bool], stop: Stop) -> None:
    """Keeps everything running until `stop`. `embed` says which of NATS and PostgreSQL are ours."""
    progress = Progress()
    with claimed(Path(settings.data_dir)) as folder:
        with listening(settings.host, settings.port):
            pass  # a taken port is said before anything else is begun
        progress.say(f"Vedette keeps its data in {folder}")
        settings = _with_sealing_keys(settings, folder / SEALING_FILE)
        async with AsyncExitStack() as stack:
            for server, wanted in zip((_nats, _postgres), embed, strict=True):
                if wanted:
                    settings = await stack.enter_async_context(server(folder, settings, progress))
            await _serve(services, settings, folder, progress, stop)
        progress.say("Stopped.")


def _with_sealing_keys(settings: Settings, path: Path) -> Settings:
    """Returns settings with keys for secrets: those given, and those in the folder, where one is made if there is none.

    The file's keys open also when others were given, because they sealed what is stored.
    """
    if not path.exists():
        if settings.sealing_keys:
            return settings
        write_private(path, keys.new_key() + "\n")
    try:
        kept = load({f"{variable('sealing_keys')}_FILE": str(path)}).sealing_keys
    except ValueError as error:
        raise StartError(str(error)) from error
    if not kept:
        raise StartError(f"{path} holds no key: put back the one that sealed the secrets, or remove the file")
    return msgspec.structs.replace(settings, sealing_keys=(*settings.sealing_keys, *kept))


async def _serve(
    services: tuple[Service, ...], settings: Settings, folder: Path, progress: Progress, stop: Stop
) -> None:
    async with AsyncExitStack() as stack:
        with progress.step("services", ", ".join(service.name for service in services)):
            context = await stack.enter_async_context(running(services, settings))
            await _until_ready(context.health)
        _greet(settings, await _admin_key(context.bus, folder / KEY_FILE), progress)
        await stop.wait()
        progress.say("Stopping: checks in flight finish first; Ctrl-C again ends at once.")


@asynccontextmanager
async def _nats(folder: Path, settings: Settings, progress: Progress) -> AsyncIterator[Settings]:
    async with AsyncExitStack() as stack:
        with progress.step("nats-server", "streams in nats/"):
            nats, _ = await stack.enter_async_context(nats_server(folder / "nats", settings.nats_listen))
        yield msgspec.structs.replace(
            settings, nats_url=nats.url, nats_system_url=nats.system_url, nats_issuer=nats.issuer
        )


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


async def _admin_key(bus: Bus, path: Path) -> str:
    """Sees to the first tenant and its key; returns the line that tells about it.

    The key is on the disk before anybody takes it, and offered again after a crash: none that works is ever lost.
    """
    secret, is_new = _offered(path)
    works = await first_key(bus, TENANT, secret)
    return _told(path, secret, is_new=is_new, works=works)


def _offered(path: Path) -> tuple[str, bool]:
    """Returns the key that is written down, and whether that was done just now."""
    known = path.read_text(encoding="utf-8").strip() if path.exists() else ""
    if is_secret(known):
        return known, False
    secret = new_secret()
    write_private(path, secret + "\n")
    return secret, True


def _told(path: Path, secret: str, *, is_new: bool, works: bool) -> str:
    shown = os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
    if works:
        return f"{secret}   (shown this once; kept in {shown})" if is_new else f"in {shown}"
    if not is_new:
        return f"made earlier; the one in {shown} does not work any more"
    path.unlink()
    return "made earlier (POST /api/v2/keys makes more)"


def _greet(settings: Settings, key: str, progress: Progress) -> None:
    base = url(settings.host, settings.port)
    progress.say(f"\n  API            {base}/api/v2")
    if settings.api_docs:
        progress.say(f"  Documentation  {base}/docs")
    if settings.nats_issuer:
        progress.say(
            f"  NATS           {without_credentials(settings.nats_url)}   (for tenants: any user, a key as password)"
        )
    progress.say(f"  Admin key      {key}\n\nCtrl-C stops everything.")
