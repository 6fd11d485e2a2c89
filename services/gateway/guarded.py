"""The router of a dialect whose clients have keys: who they are is known before any handler runs."""

from collections.abc import Sequence
from typing import Any

from litestar import Request, Router
from litestar.di import Provide
from litestar.types import ControllerRouterHandler

from libs.model.tenancy import Principal, Scope
from services.gateway.auth import KeyAuth, needs
from services.gateway.body import BODY_BYTES_MAX
from services.gateway.caller import Caller
from services.gateway.means import Means


def guarded(
    prefix: str, handlers: Sequence[ControllerRouterHandler], means: Means, *, via: str, **options: Any
) -> Router:
    """Returns a router whose handlers may ask for `caller` (Caller) and `principal` (Principal).

    In this order a request is refused: no such route; key, address, rate; scope `read`; `guards` of the options; the
    body. Other `options` are those of Litestar's Router.
    """
    guards = [needs(Scope.READ), *options.pop("guards", ())]

    return Router(
        prefix,
        route_handlers=handlers,
        dependencies={"caller": callers(means, via), "principal": Provide(_principal, sync_to_thread=False)},
        middleware=[KeyAuth(means.authority)],
        guards=guards,
        request_max_body_size=BODY_BYTES_MAX,
        **options,
    )


def callers(means: Means, via: str) -> Provide:
    """Returns what tells handlers of the dialect `via` who asks, behind whatever fills `scope["user"]`."""

    def provide_caller(request: Request[Principal, str, Any]) -> Caller:
        return Caller.of(means, request, via)

    return Provide(provide_caller, sync_to_thread=False)


def _principal(request: Request[Principal, str, Any]) -> Principal:
    return request.user
