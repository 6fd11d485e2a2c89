"""Entry point of the gateway: `python -m services.gateway`."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from typing import NoReturn

import structlog

from libs.bus import subjects
from libs.bus.connection import Bus
from libs.bus.errors import BusError
from libs.model.fields.networks import parse_networks
from libs.model.requests.errors import ErrorCode, RequestError
from libs.model.requests.messages import Authenticate
from libs.model.tenancy import Rate
from libs.net.egress import EgressPolicy
from libs.process.errors import StartError
from libs.process.http_server import serve_http
from libs.process.run import run
from libs.process.service import RunningService, Service, ServiceContext
from libs.process.settings import Settings
from libs.process.tasks import cancel_and_wait
from libs.sealing.sealer import Sealer
from services.gateway.access.authenticator import KeyAuthenticator
from services.gateway.access.rate_limiter import RateLimiter
from services.gateway.app import create_app
from services.gateway.context import Dialect, GatewayContext
from services.gateway.dialects.monitorozas.dialect import monitorozas_dialect
from services.gateway.dialects.native.dialect import native_dialect
from services.gateway.dialects.native.openapi import openapi_document
from services.gateway.dialects.prometheus.dialect import prometheus_dialect
from services.gateway.dialects.prometheus.modules import ProbeModule, load_modules
from services.gateway.web.event_stream import StreamRegistry

GRACE_S_MAX = 10.0

_log = structlog.get_logger()


def service() -> Service:
    return Service("gateway", lifespan, needs=("results",))


@contextlib.asynccontextmanager
async def lifespan(context: ServiceContext) -> AsyncIterator[RunningService]:
    """Serves the API on the configured address until the context is left; open streams are closed first."""
    settings = context.settings
    streams = StreamRegistry()
    authority = KeyAuthenticator(context.bus, context.clock)
    limits = RateLimiter(context.bus, *default_rates(settings))
    sealer = Sealer.from_texts(settings.sealing_keys)
    gateway_context = GatewayContext(context.bus, authority, limits, streams, context.clock, settings.shards, sealer)
    apis = create_dialects(gateway_context, settings)
    document = openapi_document(apis[0].router) if settings.api_docs else None
    app = create_app(apis, document, context.health, parse_networks(settings.trusted_proxies))
    grace_s = min(settings.shutdown_grace_s, GRACE_S_MAX)
    async with asyncio.TaskGroup() as group:
        listening = group.create_task(follow_revocations(context.bus, authority))
        try:
            async with serve_http(app, settings.host, settings.port, grace_s=grace_s) as url:
                _log.info("gateway.serving", url=url)
                try:
                    yield RunningService(ready_checks={"results": lambda: check_results_service(context.bus)})
                finally:
                    streams.stop()
        finally:
            await cancel_and_wait([listening])


def create_dialects(gateway_context: GatewayContext, settings: Settings) -> list[Dialect]:
    """Returns all APIs. The native API is the first; it is the one in the OpenAPI document."""
    known = _load_modules(settings.probe_modules_file, seals=gateway_context.sealer.newest_key_id is not None)
    egress = EgressPolicy(private=settings.egress_private, allow=settings.egress_allow, deny=settings.egress_deny)
    return [
        native_dialect(gateway_context),
        monitorozas_dialect(gateway_context, egress),
        prometheus_dialect(gateway_context, known, settings.probe_allow),
    ]


def _load_modules(file: str, *, seals: bool) -> dict[str, ProbeModule]:
    try:
        return load_modules(file, seals=seals)
    except ValueError as error:
        raise StartError(f"VEDETTE_PROBE_MODULES_FILE {error}") from error


def default_rates(settings: Settings) -> tuple[Rate, Rate]:
    """Returns the default rate limits of a key and of a tenant."""
    return (
        Rate(per_s=settings.key_requests_per_s, burst=settings.key_requests_burst),
        Rate(per_s=settings.tenant_requests_per_s, burst=settings.tenant_requests_burst),
    )


async def follow_revocations(bus: Bus, authority: KeyAuthenticator) -> NoReturn:
    """Revokes keys in `authority` as their revocations are announced; subscribes again after a failure."""
    while True:
        try:
            async with bus.subscribe(subjects.KEYS_REVOKED) as key_ids:
                await authority.follow_revocations(key_ids)
        except BusError as error:
            _log.warning("gateway.revocations_missed", error=str(error))
        await asyncio.sleep(1)


async def check_results_service(bus: Bus) -> None:
    """Readiness check: raises if the results service, which every request needs, does not reply."""
    try:
        await bus.request(Authenticate(key_sha256="0" * 64), timeout_s=2.0)
    except RequestError as error:
        if error.info.code is not ErrorCode.NOT_FOUND:
            raise ConnectionError(error.info.detail) from error


if __name__ == "__main__":
    sys.exit(run(service()))
