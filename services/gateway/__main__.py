"""Runs the gateway: `python -m services.gateway`."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from typing import NoReturn

import structlog

from libs.bus import subjects
from libs.bus.bus import Bus
from libs.bus.errors import BusError
from libs.model.networks import networks
from libs.model.refusal import RefusalCode, RefusedError
from libs.model.requests import Authenticate
from libs.model.tenancy import Rate
from libs.net.egress import Egress
from libs.process.errors import StartError
from libs.process.http import serve
from libs.process.run import run
from libs.process.service import Context, Running, Service
from libs.process.settings import Settings
from libs.process.tasks import ended
from libs.sealing.sealer import Sealer
from services.gateway.app import build
from services.gateway.auth import Authority
from services.gateway.limits import Limits
from services.gateway.means import Dialect, Means
from services.gateway.monitorozas.room import monitorozas
from services.gateway.native.document import document
from services.gateway.native.room import native
from services.gateway.probe.modules import Module, modules
from services.gateway.probe.room import probe
from services.gateway.sse import Streams

GRACE_S_MAX = 10.0

_log = structlog.get_logger()


def service() -> Service:
    return Service("gateway", opened, needs=("results",))


@contextlib.asynccontextmanager
async def opened(context: Context) -> AsyncIterator[Running]:
    """Serves the API on the configured address until the context is left; open streams end first."""
    settings = context.settings
    streams = Streams()
    authority = Authority(context.bus, context.clock)
    limits = Limits(context.bus, *rates(settings))
    sealer = Sealer.of(settings.sealing_keys)
    means = Means(context.bus, authority, limits, streams, context.clock, settings.shards, sealer)
    spoken = dialects(means, settings)
    described = document(spoken[0].router) if settings.api_docs else None
    app = build(spoken, described, context.health, networks(settings.trusted_proxies))
    grace_s = min(settings.shutdown_grace_s, GRACE_S_MAX)
    async with asyncio.TaskGroup() as group:
        listening = group.create_task(hear_revocations(context.bus, authority))
        try:
            async with serve(app, settings.host, settings.port, grace_s=grace_s) as url:
                _log.info("gateway.serving", url=url)
                try:
                    yield Running(ready={"results": lambda: results_answer(context.bus)})
                finally:
                    streams.stop()
        finally:
            await ended([listening])


def dialects(means: Means, settings: Settings) -> list[Dialect]:
    """Returns every API that is served; the native one, which is described, comes first."""
    known = _modules(settings.probe_modules_file, seals=means.sealer.newest is not None)
    egress = Egress(private=settings.egress_private, allow=settings.egress_allow, deny=settings.egress_deny)
    return [native(means), monitorozas(means, egress), probe(means, known, settings.probe_allow)]


def _modules(file: str, *, seals: bool) -> dict[str, Module]:
    try:
        return modules(file, seals=seals)
    except ValueError as error:
        raise StartError(f"VEDETTE_PROBE_MODULES_FILE {error}") from error


def rates(settings: Settings) -> tuple[Rate, Rate]:
    """Returns how often a key may ask, and a tenant, that have no rate of their own."""
    return (
        Rate(per_s=settings.key_requests_per_s, burst=settings.key_requests_burst),
        Rate(per_s=settings.tenant_requests_per_s, burst=settings.tenant_requests_burst),
    )


async def hear_revocations(bus: Bus, authority: Authority) -> NoReturn:
    """Tells `authority` of every key that is revoked anywhere, and listens again after a failure."""
    while True:
        try:
            async with bus.listen(subjects.KEYS_REVOKED) as key_ids:
                await authority.follow_revocations(key_ids)
        except BusError as error:
            _log.warning("gateway.revocations_missed", error=str(error))
        await asyncio.sleep(1)


async def results_answer(bus: Bus) -> None:
    """Raises when the results room does not answer: then no request of a client can be answered either."""
    try:
        await bus.ask(Authenticate(key_sha256="0" * 64), timeout_s=2.0)
    except RefusedError as error:
        if error.refusal.code is not RefusalCode.NOT_FOUND:
            raise ConnectionError(error.refusal.detail) from error


if __name__ == "__main__":
    sys.exit(run(service()))
