"""Dependencies of the APIs, and the interface of an API."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from litestar import Request, Response, Router

from libs.bus.connection import Bus
from libs.sealing.sealer import Sealer
from services.gateway.access.authenticator import KeyAuthenticator
from services.gateway.access.rate_limiter import RateLimiter
from services.gateway.web.event_stream import StreamRegistry

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class GatewayContext:
    """Dependencies that dialects are built from. Handlers get a TenantSession only, which is bound to one tenant."""

    bus: Bus
    authenticator: KeyAuthenticator
    rate_limiter: RateLimiter
    streams: StreamRegistry
    clock: Clock
    shards: int
    sealer: Sealer


@dataclass(frozen=True)
class Dialect:
    """One API: the paths below `prefix`, and its error format.

    `render_error` also renders the errors of unknown paths and methods below `prefix`.
    """

    prefix: str
    router: Router
    render_error: Callable[[Request[Any, Any, Any], Exception], Response[bytes]]
