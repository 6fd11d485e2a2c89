"""The dialect `/api/v1`: its routes, and what they need beside their caller."""

from typing import Any

from litestar import Response, Router, get
from litestar.di import NamedDependency, Provide

from libs.model.tenancy import Principal, Scope
from libs.net.egress import EgressPolicy
from services.gateway.access.authenticator import has_scope
from services.gateway.context import Dialect, GatewayContext
from services.gateway.dialects.monitorozas import blacklist, devices
from services.gateway.dialects.monitorozas.constants import DIALECT, PREFIX
from services.gateway.dialects.monitorozas.envelope import render_error, success_response
from services.gateway.web.authenticated_router import authenticated_router
from services.gateway.web.strict_body import StrictRequest


def monitorozas_dialect(means: GatewayContext, egress: EgressPolicy) -> Dialect:
    """Returns the dialect; devices at addresses that `egress` refuses are refused at once."""

    def provide_egress() -> EgressPolicy:
        return egress

    routes: list[Any] = [me, *devices.HANDLERS, *blacklist.HANDLERS]
    inner = Router("/", route_handlers=routes, dependencies={"egress": Provide(provide_egress, sync_to_thread=False)})
    return Dialect(
        PREFIX, authenticated_router(PREFIX, [inner], means, via=DIALECT, request_class=StrictRequest), render_error
    )


@get("/me")
async def me(principal: NamedDependency[Principal]) -> Response[bytes]:
    scopes = ["read", "write"] if has_scope(principal, Scope.WRITE) else ["read"]
    return success_response({"user_id": principal.tenant_number, "key_id": principal.key_number, "scopes": scopes})
