"""GET /probe: runs a check on demand and returns Prometheus metrics, like blackbox_exporter.

One intended difference: a failure on our side is an error of the scrape (`up` is 0), not of the target
(`probe_success` 0).
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from litestar import Request, Response, Router, get
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException

from libs.bus.errors import BusError
from libs.model.check import Check, Result
from libs.model.outcome import Status
from libs.model.requests.errors import ErrorCode, RequestError
from libs.model.tenancy import Principal, Scope
from libs.process.exposition import CONTENT_TYPE
from services.gateway.access.authenticator import requires_scope
from services.gateway.access.concurrency import ConcurrencyLimit
from services.gateway.context import Dialect, GatewayContext
from services.gateway.dialects.prometheus import timeouts
from services.gateway.dialects.prometheus.credentials import ProbeAuthMiddleware
from services.gateway.dialects.prometheus.debug_report import debug_report
from services.gateway.dialects.prometheus.metrics import render_metrics
from services.gateway.dialects.prometheus.modules import ProbeModule
from services.gateway.session import TenantSession
from services.gateway.web.authenticated_router import provide_session

PREFIX = "/probe"
# The default module of blackbox_exporter.
DEFAULT_MODULE = "http_2xx"
PROBES_MAX = 1000

_TEXT_MEDIA_TYPE = "text/plain"
_METRICS_MEDIA_TYPE = CONTENT_TYPE.removesuffix("; charset=utf-8")  # Litestar adds it again
_NOT_PROBED = frozenset({Status.UNKNOWN, Status.MISSED})
_log = structlog.get_logger()

ProbeRequest = Request[Principal, str, Any]


def prometheus_dialect(context: GatewayContext, modules: Mapping[str, ProbeModule], allowed: Sequence[str]) -> Dialect:
    """Returns the API as a dialect. Clients in the networks `allowed` need no key."""
    handler = ProbeHandler(modules)

    @get("/", include_in_schema=False)
    async def scrape(request: ProbeRequest, session: NamedDependency[TenantSession]) -> Response[bytes]:
        return await handler.scrape(request, session)

    router = Router(
        PREFIX,
        route_handlers=[scrape],
        dependencies={"session": provide_session(context, "probe")},
        middleware=[ProbeAuthMiddleware(context.authenticator, context.rate_limiter, allowed)],
        guards=[requires_scope(Scope.WRITE)],
    )
    return Dialect(PREFIX, router, render_error)


class ProbeHandler:
    """Runs probes, with limited concurrency. Clients without a key share the limit of one tenant."""

    def __init__(self, modules: Mapping[str, ProbeModule]) -> None:
        self._modules = modules
        self._concurrency = ConcurrencyLimit(
            "targets are being probed", PROBES_MAX, -(-PROBES_MAX // 2), status_code=503
        )

    async def scrape(self, request: ProbeRequest, session: TenantSession) -> Response[bytes]:
        """Probes the target and returns the result as Prometheus metrics."""
        with session.acquire_slot(self._concurrency):
            return await self._scrape(request, session)

    async def _scrape(self, request: ProbeRequest, session: TenantSession) -> Response[bytes]:
        query = request.query_params
        module = self._find_module(query.get("module") or DEFAULT_MODULE)
        scrape_s = timeouts.scrape_timeout_s(request.headers.get(timeouts.TIMEOUT_HEADER, ""))
        target = query.get("target")
        if not target:
            raise HTTPException(detail="Target parameter is missing", status_code=400)
        timeout_s = timeouts.probe_timeout_s(module.timeout_s, scrape_s)
        taken = session.spec_intake.accept(module.spec(target, query.get("hostname") or None), module.name)
        check = session.check_from_spec(taken, timeout_s=timeout_s, location=module.location)
        result = await _run_check(session, check, timeouts.result_wait_s(timeout_s, scrape_s))
        if query.get("debug") == "true":
            return Response(debug_report(module, result), media_type=_TEXT_MEDIA_TYPE)
        if result.status in _NOT_PROBED:
            raise HTTPException(detail=f"Not probed: {result.reason}. {result.detail}", status_code=503)
        return Response(render_metrics(result), media_type=_METRICS_MEDIA_TYPE)

    def _find_module(self, name: str) -> ProbeModule:
        module = self._modules.get(name)
        if module is None:
            raise HTTPException(detail=f"Unknown module {json.dumps(name, ensure_ascii=False)}", status_code=400)
        return module


async def _run_check(session: TenantSession, check: Check, wait_s: float) -> Result:
    result = await session.run_check(check, wait_s)
    if result is None:
        detail = (
            f"Not probed: no prober of kind {check.kind!r} in location {check.location!r} returned a result in time."
        )
        raise HTTPException(detail=detail, status_code=504)
    return result


def render_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Returns `error` as one line of text. Unexpected exceptions are logged and become a 500 without details."""
    if isinstance(error, RequestError):
        refusal = error.info
        status = 503 if refusal.code is ErrorCode.UNAVAILABLE else 400
        return _text_response(f"{refusal.field}: {refusal.detail}" if refusal.field else refusal.detail, status)
    if isinstance(error, BusError):
        return _text_response("The message bus is temporarily unavailable.", 503)
    if isinstance(error, HTTPException) and error.status_code != 500:
        return _text_response(error.detail, error.status_code, dict(error.headers or {}))
    _log.error("request.failed", method=request.method, path=request.url.path, exc_info=error)
    return _text_response("Internal server error. It has been logged.", 500)


def _text_response(text: str, status: int, headers: dict[str, str] | None = None) -> Response[bytes]:
    return Response(f"{text}\n".encode(), status_code=status, media_type=_TEXT_MEDIA_TYPE, headers=headers)
