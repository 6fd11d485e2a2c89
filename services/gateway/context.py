"""What every dialect works with, and what a dialect is."""

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
    """What dialects are made from. Handlers get none of it, but a Caller, who asks about the own tenant only."""

    bus: Bus
    authenticator: KeyAuthenticator
    rate_limiter: RateLimiter
    streams: StreamRegistry
    clock: Clock
    shards: int
    sealer: Sealer


@dataclass(frozen=True)
class Dialect:
    """One API: its paths begin with `prefix`, and `answer` tells its clients about errors in its own format.

    Also paths below `prefix` that lead nowhere, or do not take the method, are answered by `answer`.
    """

    prefix: str
    router: Router
    render_error: Callable[[Request[Any, Any, Any], Exception], Response[bytes]]
