"""ASGI application: all APIs, the documentation, health endpoints and the request log."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from litestar import Litestar, MediaType, Request, Response, get
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.response import Redirect
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send
from litestar.utils import normalize_path

from libs.model.fields.networks import IpNetwork
from libs.process import metrics
from libs.process.health import PATHS, Health
from services.gateway.context import Dialect
from services.gateway.dialects.native.docs_page import PAGE, PAGE_HEADERS
from services.gateway.web.client_address import resolve_client

_log = structlog.get_logger()
_requests = metrics.counter("vedette_gateway_requests", "Requests answered", ["method", "status"])
_durations = metrics.histogram("vedette_gateway_request_duration_s", "Seconds until the answer was complete")
_METHODS = frozenset({"GET", "POST", "PATCH", "DELETE", "PUT", "HEAD", "OPTIONS"})


def create_app(
    dialects: Sequence[Dialect], document: bytes | None, health: Health, trusted: Sequence[IpNetwork] = ()
) -> ASGIApp:
    """Returns the application. The first dialect renders the errors of paths that belong to none.

    Without a `document` there is no documentation. `X-Forwarded-For` is evaluated for peers in `trusted` only.
    """
    handlers = [dialect.router for dialect in dialects]
    pages = [] if document is None else [_openapi_handler(document), docs, redirect_to_docs]
    app = Litestar(
        [*handlers, *pages],
        openapi_config=None,
        logging_config=None,
        exception_handlers={HTTPException: _error_handler(dialects), Exception: _error_handler(dialects)},
    )
    return RequestLogMiddleware(app, health, trusted)


class RequestLogMiddleware:
    """Passes health and metrics requests to their app and others to Litestar; logs and counts each request."""

    def __init__(self, app: Litestar, health: Health, trusted: Sequence[IpNetwork]) -> None:
        self._app, self._health, self._trusted = app, health, trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        if scope["path"] in PATHS:
            await self._health(scope, receive, send)  # type: ignore[arg-type] # the same protocol, in looser types
            return
        # Litestar routes //api/v1/me as /api/v1/me. The error handler must see the same path.
        scope = {**scope, "path": normalize_path(scope["path"])}
        await self._call_logged(resolve_client(scope, self._trusted), receive, send)

    async def _call_logged(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        started = time.monotonic()
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            _record_request(scope, status, time.monotonic() - started)


@get("/docs", media_type=MediaType.HTML, include_in_schema=False, sync_to_thread=False)
def docs() -> Response[bytes]:
    return Response(PAGE, headers=PAGE_HEADERS)


@get("/", include_in_schema=False, sync_to_thread=False)
def redirect_to_docs() -> Redirect:
    return Redirect("/docs", status_code=307)


def _openapi_handler(document: bytes) -> HTTPRouteHandler:
    @get("/api/v2/openapi.json", media_type="application/json", include_in_schema=False, sync_to_thread=False)
    def openapi() -> Response[bytes]:
        return Response(document, headers={"Cache-Control": "public, max-age=300"})

    return openapi


def _error_handler(dialects: Sequence[Dialect]) -> Callable[[Request[Any, Any, Any], Exception], Response[bytes]]:
    """Returns the exception handler that selects the dialect with the longest prefix of the path.

    It is installed on the application, not on the routers: unknown paths and methods belong to no router.
    """
    inner_first = sorted(dialects, key=lambda each: len(each.prefix), reverse=True)

    def answer(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
        path = request.scope["path"]
        found = (each for each in inner_first if path == each.prefix or path.startswith(f"{each.prefix}/"))
        return next(found, dialects[0]).render_error(request, error)

    return answer


def _record_request(scope: HTTPScope, status: int, duration_s: float) -> None:
    principal = scope.get("user")
    client = scope.get("client")
    method = scope["method"]
    _requests.labels(method if method in _METHODS else "other", str(status)).inc()
    _durations.observe(duration_s)
    _log.info(
        "request.finished",
        method=method,
        path=scope["path"],
        status=status,
        duration_s=round(duration_s, 6),
        client=client[0] or None if client else None,
        tenant=getattr(principal, "tenant_id", None),
        key=getattr(principal, "key_id", None),
    )
