"""The native API as one dialect: its routes, and its errors as problem details."""

from typing import Any

from litestar import Request, Router
from litestar.di import Provide

from libs.model.tenancy import Principal, Scope
from services.gateway.auth import KeyAuth, needs
from services.gateway.body import BODY_BYTES_MAX, StrictRequest
from services.gateway.means import Dialect, Means
from services.gateway.names import known_query
from services.gateway.native import checks, keys, monitors, results, stream
from services.gateway.problems import answer

PREFIX = "/api/v2"


def native(means: Means) -> Dialect:
    """Returns the dialect that works with `means`."""

    def provide_means() -> Means:
        return means

    router = Router(
        PREFIX,
        route_handlers=[*monitors.HANDLERS, *results.HANDLERS, *checks.HANDLERS, *stream.HANDLERS, *keys.HANDLERS],
        dependencies={
            "means": Provide(provide_means, sync_to_thread=False),
            "principal": Provide(_principal, sync_to_thread=False),
        },
        middleware=[KeyAuth(means.authority)],
        guards=[needs(Scope.READ), known_query],
        request_class=StrictRequest,
        request_max_body_size=BODY_BYTES_MAX,
    )
    return Dialect(PREFIX, router, answer)


def _principal(request: Request[Principal, str, Any]) -> Principal:
    return request.user
