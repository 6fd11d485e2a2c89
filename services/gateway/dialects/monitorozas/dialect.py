"""Monitorozás API, /api/v1: its router and dependencies."""

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


def monitorozas_dialect(context: GatewayContext, egress: EgressPolicy) -> Dialect:
    """Returns the API as a dialect. Devices at addresses outside the `egress` policy are refused."""

    def provide_egress() -> EgressPolicy:
        return egress

    routes: list[Any] = [me, *devices.HANDLERS, *blacklist.HANDLERS]
    inner = Router("/", route_handlers=routes, dependencies={"egress": Provide(provide_egress, sync_to_thread=False)})
    return Dialect(
        PREFIX, authenticated_router(PREFIX, [inner], context, via=DIALECT, request_class=StrictRequest), render_error
    )


@get("/me")
async def me(principal: NamedDependency[Principal]) -> Response[bytes]:
    scopes = ["read", "write"] if has_scope(principal, Scope.WRITE) else ["read"]
    return success_response({"user_id": principal.tenant_number, "key_id": principal.key_number, "scopes": scopes})
