"""The native API as one dialect: its routes, and its errors as problem details."""

from services.gateway.body import StrictRequest
from services.gateway.guarded import guarded
from services.gateway.means import Dialect, Means
from services.gateway.names import known_query
from services.gateway.native import checks, keys, monitors, results, stream, tenants
from services.gateway.problems import answer

PREFIX = "/api/v2"

_MODULES = (monitors, results, checks, stream, keys, tenants)


def native(means: Means) -> Dialect:
    """Returns the dialect that works with `means`."""
    handlers = [handler for module in _MODULES for handler in module.HANDLERS]
    router = guarded(PREFIX, handlers, means, via="native", guards=[known_query], request_class=StrictRequest)
    return Dialect(PREFIX, router, answer)
