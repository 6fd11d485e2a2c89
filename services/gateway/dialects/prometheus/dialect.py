"""GET /probe: a check made now and answered as a Prometheus scrape, as blackbox_exporter does.

One thing is told otherwise, on purpose: what went wrong on our side is an error of the scrape (`up` is 0), and never
a target that failed (`probe_success` 0).
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
# What blackbox_exporter takes when a scrape names no module.
DEFAULT_MODULE = "http_2xx"
PROBES_MAX = 1000

_TEXT_MEDIA_TYPE = "text/plain"
_METRICS_MEDIA_TYPE = CONTENT_TYPE.removesuffix("; charset=utf-8")  # Litestar adds it again
_NOT_PROBED = frozenset({Status.UNKNOWN, Status.MISSED})
_log = structlog.get_logger()

ProbeRequest = Request[Principal, str, Any]


def prometheus_dialect(means: GatewayContext, modules: Mapping[str, ProbeModule], allowed: Sequence[str]) -> Dialect:
    """Returns the dialect; callers in the ranges `allowed` need no key."""
    room = ProbeHandler(modules)

    @get("/", include_in_schema=False)
    async def scrape(request: ProbeRequest, caller: NamedDependency[TenantSession]) -> Response[bytes]:
        return await room.scrape(request, caller)

    router = Router(
        PREFIX,
        route_handlers=[scrape],
        dependencies={"caller": provide_session(means, "probe")},
        middleware=[ProbeAuthMiddleware(means.authenticator, means.rate_limiter, allowed)],
        guards=[requires_scope(Scope.WRITE)],
    )
    return Dialect(PREFIX, router, render_error)


class ProbeHandler:
    """Has targets probed, a bounded number at a time. Who needs no key counts as one tenant."""

    def __init__(self, modules: Mapping[str, ProbeModule]) -> None:
        self._modules = modules
        self._concurrency = ConcurrencyLimit(
            "targets are being probed", PROBES_MAX, -(-PROBES_MAX // 2), status_code=503
        )

    async def scrape(self, request: ProbeRequest, caller: TenantSession) -> Response[bytes]:
        """Returns what a probe of the target said, in the series of Prometheus."""
        with caller.acquire_slot(self._concurrency):
            return await self._scrape(request, caller)

    async def _scrape(self, request: ProbeRequest, caller: TenantSession) -> Response[bytes]:
        asked = request.query_params
        module = self._find_module(asked.get("module") or DEFAULT_MODULE)
        scrape_s = timeouts.scrape_timeout_s(request.headers.get(timeouts.TIMEOUT_HEADER, ""))
        target = asked.get("target")
        if not target:
            raise HTTPException(detail="Target parameter is missing", status_code=400)
        timeout_s = timeouts.probe_timeout_s(module.timeout_s, scrape_s)
        taken = caller.spec_intake.accept(module.spec(target, asked.get("hostname") or None), module.name)
        check = caller.check_from_spec(taken, timeout_s=timeout_s, location=module.location)
        result = await _run_check(caller, check, timeouts.result_wait_s(timeout_s, scrape_s))
        if asked.get("debug") == "true":
            return Response(debug_report(module, result), media_type=_TEXT_MEDIA_TYPE)
        if result.status in _NOT_PROBED:
            raise HTTPException(detail=f"Not probed: {result.reason}. {result.detail}", status_code=503)
        return Response(render_metrics(result), media_type=_METRICS_MEDIA_TYPE)

    def _find_module(self, name: str) -> ProbeModule:
        module = self._modules.get(name)
        if module is None:
            raise HTTPException(detail=f"Unknown module {json.dumps(name, ensure_ascii=False)}", status_code=400)
        return module


async def _run_check(caller: TenantSession, check: Check, wait_s: float) -> Result:
    result = await caller.run_check(check, wait_s)
    if result is None:
        detail = f"Not probed: no prober of kind {check.kind!r} in location {check.location!r} answered in time."
        raise HTTPException(detail=detail, status_code=504)
    return result


def render_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Returns one line about `error`. What nobody foresaw is logged and told without its internals."""
    if isinstance(error, RequestError):
        refusal = error.info
        status = 503 if refusal.code is ErrorCode.UNAVAILABLE else 400
        return _text_response(f"{refusal.field}: {refusal.detail}" if refusal.field else refusal.detail, status)
    if isinstance(error, BusError):
        return _text_response("The bus does not answer at the moment.", 503)
    if isinstance(error, HTTPException) and error.status_code != 500:
        return _text_response(error.detail, error.status_code, dict(error.headers or {}))
    _log.error("request.failed", method=request.method, path=request.url.path, exc_info=error)
    return _text_response("Something went wrong on our side. It has been logged.", 500)


def _text_response(text: str, status: int, headers: dict[str, str] | None = None) -> Response[bytes]:
    return Response(f"{text}\n".encode(), status_code=status, media_type=_TEXT_MEDIA_TYPE, headers=headers)
