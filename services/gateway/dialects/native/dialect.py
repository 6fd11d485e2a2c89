"""Native API, /api/v2: its router and its error format."""

from services.gateway.context import Dialect, GatewayContext
from services.gateway.dialects.native import checks, keys, monitors, results, stream, tenants
from services.gateway.dialects.native.problems import render_problem
from services.gateway.web.authenticated_router import authenticated_router
from services.gateway.web.query_guard import reject_unknown_query
from services.gateway.web.strict_body import StrictRequest

PREFIX = "/api/v2"

_MODULES = (monitors, results, checks, stream, keys, tenants)


def native_dialect(context: GatewayContext) -> Dialect:
    """Returns the native API as a dialect."""
    handlers = [handler for module in _MODULES for handler in module.HANDLERS]
    router = authenticated_router(
        PREFIX, handlers, context, via="native", guards=[reject_unknown_query], request_class=StrictRequest
    )
    return Dialect(PREFIX, router, render_problem)
