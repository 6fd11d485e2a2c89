"""The dialect `/api/v1`: its routes, and what they need beside their caller."""

from typing import Any

from litestar import Response, Router, get
from litestar.di import NamedDependency, Provide

from libs.model.tenancy import Principal, Scope
from libs.net.egress import Egress
from services.gateway.auth import may
from services.gateway.body import StrictRequest
from services.gateway.guarded import guarded
from services.gateway.means import Dialect, Means
from services.gateway.monitorozas import blacklist, devices
from services.gateway.monitorozas.envelope import answer, success
from services.gateway.monitorozas.words import DIALECT, PREFIX


def monitorozas(means: Means, egress: Egress) -> Dialect:
    """Returns the dialect; devices at addresses that `egress` refuses are refused at once."""

    def provide_egress() -> Egress:
        return egress

    routes: list[Any] = [me, *devices.HANDLERS, *blacklist.HANDLERS]
    inner = Router("/", route_handlers=routes, dependencies={"egress": Provide(provide_egress, sync_to_thread=False)})
    return Dialect(PREFIX, guarded(PREFIX, [inner], means, via=DIALECT, request_class=StrictRequest), answer)


@get("/me")
async def me(principal: NamedDependency[Principal]) -> Response[bytes]:
    scopes = ["read", "write"] if may(principal, Scope.WRITE) else ["read"]
    return success({"user_id": principal.tenant_number, "key_id": principal.key_number, "scopes": scopes})
