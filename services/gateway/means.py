"""What every dialect works with, and what a dialect is."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from litestar import Request, Response, Router

from libs.bus.bus import Bus
from libs.sealing.sealer import Sealer
from services.gateway.auth import Authority
from services.gateway.limits import Limits
from services.gateway.specs import Specs
from services.gateway.sse import Streams

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Means:
    """What handlers are given: the bus to ask, who knows the keys and how often they may ask, the open streams, the clock and the sealer."""

    bus: Bus
    authority: Authority
    limits: Limits
    streams: Streams
    clock: Clock
    shards: int
    sealer: Sealer

    def specs(self, tenant_id: str) -> Specs:
        """Returns what takes specs from clients of this tenant: the only way in for one."""
        return Specs(self.sealer, tenant_id)


@dataclass(frozen=True)
class Dialect:
    """One API: its paths begin with `prefix`, and `answer` tells its clients about errors in its own format.

    Also paths below `prefix` that lead nowhere, or do not take the method, are answered by `answer`.
    """

    prefix: str
    router: Router
    answer: Callable[[Request[Any, Any, Any], Exception], Response[bytes]]
