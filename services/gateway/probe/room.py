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
from libs.model.refusal import RefusalCode, RefusedError
from libs.model.tenancy import Principal, Scope
from libs.process.exposition import CONTENT_TYPE
from services.gateway.auth import needs
from services.gateway.caller import Caller
from services.gateway.guarded import callers
from services.gateway.means import Dialect, Means
from services.gateway.probe import timing
from services.gateway.probe.entrance import Entrance
from services.gateway.probe.exposition import text_of
from services.gateway.probe.modules import Module
from services.gateway.probe.report import report
from services.gateway.slots import Slots

PREFIX = "/probe"
# What blackbox_exporter takes when a scrape names no module.
DEFAULT_MODULE = "http_2xx"
PROBES_MAX = 1000

_PLAIN = "text/plain"
_EXPOSED = CONTENT_TYPE.removesuffix("; charset=utf-8")  # Litestar adds it again
_OURS = frozenset({Status.UNKNOWN, Status.MISSED})
_log = structlog.get_logger()

Asked = Request[Principal, str, Any]


def probe(means: Means, modules: Mapping[str, Module], allowed: Sequence[str]) -> Dialect:
    """Returns the dialect; callers in the ranges `allowed` need no key."""
    room = Room(modules)

    @get("/", include_in_schema=False)
    async def scrape(request: Asked, caller: NamedDependency[Caller]) -> Response[bytes]:
        return await room.scrape(request, caller)

    router = Router(
        PREFIX,
        route_handlers=[scrape],
        dependencies={"caller": callers(means, "probe")},
        middleware=[Entrance(means.authority, allowed)],
        guards=[needs(Scope.WRITE)],
    )
    return Dialect(PREFIX, router, answer)


class Room:
    """Has targets probed, a bounded number at a time. Who needs no key counts as one tenant."""

    def __init__(self, modules: Mapping[str, Module]) -> None:
        self._modules = modules
        self._slots = Slots("targets are being probed", PROBES_MAX, -(-PROBES_MAX // 2), status_code=503)

    async def scrape(self, request: Asked, caller: Caller) -> Response[bytes]:
        """Returns what a probe of the target said, in the series of Prometheus."""
        with caller.slot(self._slots):
            return await self._scrape(request, caller)

    async def _scrape(self, request: Asked, caller: Caller) -> Response[bytes]:
        asked = request.query_params
        module = self._module(asked.get("module") or DEFAULT_MODULE)
        scrape_s = timing.scrape_s(request.headers.get(timing.HEADER, ""))
        target = asked.get("target")
        if not target:
            raise HTTPException(detail="Target parameter is missing", status_code=400)
        timeout_s = timing.timeout_s(module.timeout_s, scrape_s)
        taken = caller.specs.new(module.spec(target, asked.get("hostname") or None), module.name)
        check = caller.check_of_spec(taken, timeout_s=timeout_s, location=module.location)
        result = await _result(caller, check, timing.wait_s(timeout_s, scrape_s))
        if asked.get("debug") == "true":
            return Response(report(module, result), media_type=_PLAIN)
        if result.status in _OURS:
            raise HTTPException(detail=f"Not probed: {result.reason}. {result.detail}", status_code=503)
        return Response(text_of(result), media_type=_EXPOSED)

    def _module(self, name: str) -> Module:
        module = self._modules.get(name)
        if module is None:
            raise HTTPException(detail=f"Unknown module {json.dumps(name, ensure_ascii=False)}", status_code=400)
        return module


async def _result(caller: Caller, check: Check, wait_s: float) -> Result:
    result = await caller.run(check, wait_s)
    if result is None:
        detail = f"Not probed: no prober of kind {check.kind!r} in location {check.location!r} answered in time."
        raise HTTPException(detail=detail, status_code=504)
    return result


def answer(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Returns one line about `error`. What nobody foresaw is logged and told without its internals."""
    if isinstance(error, RefusedError):
        refusal = error.refusal
        status = 503 if refusal.code is RefusalCode.UNAVAILABLE else 400
        return _line(f"{refusal.field}: {refusal.detail}" if refusal.field else refusal.detail, status)
    if isinstance(error, BusError):
        return _line("The bus does not answer at the moment.", 503)
    if isinstance(error, HTTPException) and error.status_code != 500:
        return _line(error.detail, error.status_code, dict(error.headers or {}))
    _log.error("request.failed", method=request.method, path=request.url.path, exc_info=error)
    return _line("Something went wrong on our side. It has been logged.", 500)


def _line(text: str, status: int, headers: dict[str, str] | None = None) -> Response[bytes]:
    return Response(f"{text}\n".encode(), status_code=status, media_type=_PLAIN, headers=headers)
