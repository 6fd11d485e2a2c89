"""The router of a dialect whose clients have keys: who they are is known before any handler runs."""

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
    prefix: str, handlers: Sequence[ControllerRouterHandler], means: GatewayContext, *, via: str, **options: Any
) -> Router:
    """Returns a router whose handlers may ask for `caller` (Caller) and `principal` (Principal).

    In this order a request is refused: no such route; key, address, rate; scope `read`; `guards` of the options; the
    body. Other `options` are those of Litestar's Router.
    """
    guards = [requires_scope(Scope.READ), *options.pop("guards", ())]

    return Router(
        prefix,
        route_handlers=handlers,
        dependencies={
            "caller": provide_session(means, via),
            "principal": Provide(_provide_principal, sync_to_thread=False),
        },
        middleware=[KeyAuthMiddleware(means.authenticator, means.rate_limiter)],
        guards=guards,
        request_max_body_size=BODY_BYTES_MAX,
        **options,
    )


def provide_session(means: GatewayContext, via: str) -> Provide:
    """Returns what tells handlers of the dialect `via` who asks, behind whatever fills `scope["user"]`."""

    def provide_caller(request: Request[Principal, str, Any]) -> TenantSession:
        return TenantSession.from_request(means, request, via)

    return Provide(provide_caller, sync_to_thread=False)


def _provide_principal(request: Request[Principal, str, Any]) -> Principal:
    return request.user
