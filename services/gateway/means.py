"""What every dialect works with, and what a dialect is."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from litestar import Request, Response, Router

from libs.bus.bus import Bus
from libs.sealing.sealer import Sealer
from services.gateway.auth import Authority
from services.gateway.sse import Streams

Clock = Callable[[], datetime]


@dataclass(frozen=True)
class Means:
    """What dialects are made from. Handlers get none of it, but a Caller, who asks about the own tenant only."""

    bus: Bus
    authority: Authority
    streams: Streams
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
    answer: Callable[[Request[Any, Any, Any], Exception], Response[bytes]]
