"""`vedette up`: NATS, PostgreSQL and all services in one process and one data directory."""

import asyncio
import functools
import os
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import msgspec

from libs.bus.connection import Bus, without_credentials
from libs.cli.bootstrap import create_first_key
from libs.cli.progress import Progress
from libs.model.tenancy import is_api_key, new_api_key
from libs.process.embedded.data_dir import locked_data_dir, write_private_file
from libs.process.embedded.nats import nats_server
from libs.process.embedded.postgres import postgres_server
from libs.process.errors import StartError
from libs.process.health import Health
from libs.process.http_server import http_url, listening_socket
from libs.process.run import running_services
from libs.process.service import Service
from libs.process.settings import Settings, env_name, load
from libs.process.signals import StopSignal
from libs.sealing import keys

TENANT = "default"
KEY_FILE = "admin.key"
_KEY_CHECK = "admin_key"
SEALING_FILE = "sealing.keys"
READY_TIMEOUT_S = 60.0
_POLL_S = 0.05


async def up(services: tuple[Service, ...], settings: Settings, *, embed: tuple[bool, bool], stop: StopSignal) -> None:
    """Keeps everything running until `stop`. `embed` says which of NATS and PostgreSQL are ours."""
    progress = Progress()
    with locked_data_dir(Path(settings.data_dir)) as folder:
        with listening_socket(settings.host, settings.port):
            pass  # a taken port is said before anything else is begun
        progress.print_line(f"Vedette keeps its data in {folder}")
        settings = _with_sealing_keys(settings, folder / SEALING_FILE)
        async with AsyncExitStack() as stack:
            for server, wanted in zip((_nats, _postgres), embed, strict=True):
                if wanted:
                    settings = await stack.enter_async_context(server(folder, settings, progress))
            await _serve(services, settings, folder, progress, stop)
        progress.print_line("Stopped.")


def _with_sealing_keys(settings: Settings, path: Path) -> Settings:
    """Returns settings with keys for secrets: those given, and those in the folder, where one is made if there is none.

    The file's keys open also when others were given, because they sealed what is stored.
    """
    if not path.exists():
        if settings.sealing_keys:
            return settings
        write_private_file(path, keys.new_key() + "\n")
    try:
        kept = load({f"{env_name('sealing_keys')}_FILE": str(path)}).sealing_keys
    except ValueError as error:
        raise StartError(str(error)) from error
    if not kept:
        raise StartError(f"{path} holds no key: put back the one that sealed the secrets, or remove the file")
    return msgspec.structs.replace(settings, sealing_keys=(*settings.sealing_keys, *kept))


async def _serve(
    services: tuple[Service, ...], settings: Settings, folder: Path, progress: Progress, stop: StopSignal
) -> None:
    async with AsyncExitStack() as stack:
        with progress.step("services", ", ".join(service.name for service in services)):
            context = await stack.enter_async_context(running_services(services, settings))
            # Ready means that the key in the file works: scripts wait for that. Nothing may be awaited before this line.
            key_registered = asyncio.Event()
            context.health.add_check(_KEY_CHECK, functools.partial(_check_key_registered, key_registered))
            await _wait_until_ready(context.health)
        key = await _ensure_admin_key(context.bus, folder / KEY_FILE)
        key_registered.set()
        _print_summary(settings, key, progress)
        await stop.wait()
        progress.print_line("Stopping: checks in flight finish first; Ctrl-C again ends at once.")


@asynccontextmanager
async def _nats(folder: Path, settings: Settings, progress: Progress) -> AsyncIterator[Settings]:
    async with AsyncExitStack() as stack:
        with progress.step("nats-server", "streams in nats/"):
            nats, _ = await stack.enter_async_context(nats_server(folder / "nats", settings.nats_listen))
        yield msgspec.structs.replace(
            settings, nats_url=nats.url, nats_system_url=nats.system_url, nats_issuer=nats.issuer_seed
        )


@asynccontextmanager
async def _postgres(folder: Path, settings: Settings, progress: Progress) -> AsyncIterator[Settings]:
    fresh = not (folder / "postgres" / "data").exists()
    async with AsyncExitStack() as stack:
        with progress.step("PostgreSQL", "making its database in postgres/" if fresh else "database in postgres/"):
            dsn, _ = await stack.enter_async_context(postgres_server(folder / "postgres"))
        yield msgspec.structs.replace(settings, postgres_dsn=dsn)


async def _wait_until_ready(health: Health) -> None:
    until = time.monotonic() + READY_TIMEOUT_S
    while failing := [
        f"{name}: {text}"
        for name, text in (await health.report()).checks.items()
        if text != "ok" and name != _KEY_CHECK
    ]:
        if time.monotonic() > until:
            raise StartError(f"not ready after {READY_TIMEOUT_S:g} s: {'; '.join(failing)}")
        await asyncio.sleep(_POLL_S)


async def _check_key_registered(key_registered: asyncio.Event) -> None:
    if not key_registered.is_set():
        raise LookupError("the first key is not registered yet")


async def _ensure_admin_key(bus: Bus, path: Path) -> str:
    """Creates the first tenant and its key if needed; returns the line to print about it.

    A new key is written to a file beside `path` before it is registered, and moved to `path` afterwards: after a crash
    in between it is registered by the next start, and a key in `path` works.
    """
    pending = path.with_name(f"{path.name}.pending")
    secret = _load_key(path)
    is_new = secret is None
    if secret is None:
        secret = _load_key(pending)
    if secret is None:
        secret = new_api_key()
        write_private_file(pending, secret + "\n")
    works = await create_first_key(bus, TENANT, secret)
    if works and is_new:
        pending.replace(path)
    else:
        pending.unlink(missing_ok=True)
    return _describe_key(path, secret, is_new=is_new, works=works)


def _load_key(path: Path) -> str | None:
    text = path.read_text(encoding="utf-8").strip() if path.exists() else ""
    return text if is_api_key(text) else None


def _describe_key(path: Path, secret: str, *, is_new: bool, works: bool) -> str:
    shown = os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
    if works:
        return f"{secret}   (shown this once; kept in {shown})" if is_new else f"in {shown}"
    if not is_new:
        return f"created earlier; the one in {shown} is no longer valid"
    return "created earlier (POST /api/v2/keys creates more)"


def _print_summary(settings: Settings, key: str, progress: Progress) -> None:
    base = http_url(settings.host, settings.port)
    progress.print_line(f"\n  API            {base}/api/v2")
    if settings.api_docs:
        progress.print_line(f"  Documentation  {base}/docs")
    if settings.nats_issuer:
        progress.print_line(
            f"  NATS           {without_credentials(settings.nats_url)}   (for tenants: any user, a key as password)"
        )
    progress.print_line(f"  Admin key      {key}\n\nCtrl-C stops everything.")
