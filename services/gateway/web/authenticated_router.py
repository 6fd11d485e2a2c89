"""Litestar router with API key authentication."""

from collections.abc import Sequence
from typing import Any

from litestar import Request, Router
from litestar.di import Provide
from litestar.types import ControllerRouterHandler

from libs.model.tenancy import Principal, Scope
from services.gateway.access.authenticator import KeyAuthMiddleware, requires_scope
from services.gateway.context import GatewayContext
from services.gateway.session import TenantSession
from services.gateway.web.strict_body import BODY_BYTES_MAX


def authenticated_router(
    prefix: str, handlers: Sequence[ControllerRouterHandler], context: GatewayContext, *, via: str, **options: Any
) -> Router:
    """Returns a router that provides `session` (TenantSession) and `principal` (Principal) to its handlers.

    Requests are checked in this order: route; key, address, rate limit; scope `read`; the `guards` in `options`; body.
    Other `options` are passed to Litestar's Router.
    """
    guards = [requires_scope(Scope.READ), *options.pop("guards", ())]

    return Router(
        prefix,
        route_handlers=handlers,
        dependencies={
            "session": provide_session(context, via),
            "principal": Provide(_provide_principal, sync_to_thread=False),
        },
        middleware=[KeyAuthMiddleware(context.authenticator, context.rate_limiter)],
        guards=guards,
        request_max_body_size=BODY_BYTES_MAX,
        **options,
    )


def provide_session(context: GatewayContext, via: str) -> Provide:
    """Returns the provider of a TenantSession. It needs a middleware that sets `scope["user"]`."""

    def provide_caller(request: Request[Principal, str, Any]) -> TenantSession:
        return TenantSession.from_request(context, request, via)

    return Provide(provide_caller, sync_to_thread=False)


def _provide_principal(request: Request[Principal, str, Any]) -> Principal:
    return request.user
