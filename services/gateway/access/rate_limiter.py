"""Rate limits of keys and tenants, shared by all gateways: tokens are leased from the results service."""

import asyncio
import math
import time
from collections import OrderedDict

import msgspec
import structlog

from libs.bus.connection import Bus
from libs.model.requests.errors import ErrorCode, RequestError
from libs.model.requests.messages import TakeTokens
from libs.model.tenancy import Principal, Rate
from services.gateway.access.errors import AccessDenial, AccessDeniedError
from services.gateway.access.token_lease import LeasePolicy, TokenLease

KEYS_MAX = 10_000
QUEUE_MAX = 1000
REFILL_S_MAX = 3.0
QUEUE_S_MAX = 5.0

_QUEUE_TIMEOUT = "Too many concurrent requests of this key: its rate limit could not be checked in time."

_log: structlog.stdlib.BoundLogger = structlog.get_logger()


class KeyQueue:
    """The token lease of one key, and the queue of requests that wait for its refill."""

    def __init__(self) -> None:
        self.lease = TokenLease()
        self.refill_lock = asyncio.Lock()
        self.waiting = 0


class RateLimiter:
    """Rate limiter. The given rates are the defaults of keys and tenants without their own."""

    def __init__(self, bus: Bus, key_rate: Rate, tenant_rate: Rate) -> None:
        self._bus = bus
        self._key_rate, self._tenant_rate = key_rate, tenant_rate
        self._queues: OrderedDict[str, KeyQueue] = OrderedDict()

    async def acquire(self, principal: Principal) -> None:
        """Takes one token for a request of the principal, or raises AccessDeniedError (429, with Retry-After).

        RequestError (`unavailable`) if the request waited `QUEUE_S_MAX` seconds for a refill.
        """
        key_rate, tenant_rate = principal.rate or self._key_rate, principal.tenant_rate or self._tenant_rate
        if key_rate.per_s <= 0 and tenant_rate.per_s <= 0:
            return
        line = self._queue(principal.key_id)
        if line.lease.spend(time.monotonic()):
            return
        request = TakeTokens(
            tenant_id=principal.tenant_id,
            key_id=principal.key_id,
            wanted=1,
            key_rate=key_rate,
            tenant_rate=tenant_rate,
        )
        await self._wait_turn(line, request)

    async def _wait_turn(self, line: KeyQueue, request: TakeTokens) -> None:
        terms = LeasePolicy.from_rates([rate for rate in (request.key_rate, request.tenant_rate) if rate.per_s > 0])
        _raise_if_denied(line.lease, terms)
        if line.waiting >= QUEUE_MAX:
            raise _rate_limited(terms, 1.0)
        line.waiting += 1
        try:
            async with asyncio.timeout(QUEUE_S_MAX), line.refill_lock:
                await self._refill_lease(line, request, terms)
        except TimeoutError:
            # Do not fail open here: a client could escape its limit by filling the queue.
            raise RequestError(ErrorCode.UNAVAILABLE, _QUEUE_TIMEOUT) from None
        finally:
            line.waiting -= 1

    async def _refill_lease(self, line: KeyQueue, request: TakeTokens, terms: LeasePolicy) -> None:
        """Uses a token of the previous refill, or requests new ones."""
        lease = line.lease
        if lease.spend(time.monotonic()):
            return
        _raise_if_denied(lease, terms)
        wanted, unused = lease.next_request(time.monotonic(), terms, line.waiting)
        try:
            sized = msgspec.structs.replace(request, wanted=wanted, unused=unused)
            granted = await self._bus.request(sized, timeout_s=REFILL_S_MAX)
        except RequestError as error:
            _fail_open(lease, error.info.detail)
            return
        if not lease.apply_grant(time.monotonic(), terms, granted):
            raise _rate_limited(terms, granted.retry_after_s)

    def _queue(self, key_id: str) -> KeyQueue:
        """Returns the queue of a key. The least recently used one beyond `KEYS_MAX` is dropped with its tokens."""
        line = self._queues.get(key_id)
        if line is None:
            line = self._queues[key_id] = KeyQueue()
            if len(self._queues) > KEYS_MAX:
                self._queues.popitem(last=False)
        else:
            self._queues.move_to_end(key_id)
        return line


def _fail_open(lease: TokenLease, error: str) -> None:
    """Admits requests while the results service is unavailable: a 429 would blame the client for our failure.

    Requests that need the results service fail with 503 later; others succeed.
    """
    _log.warning("rate_limits.unavailable", error=error)
    lease.fail_open(time.monotonic())


def _raise_if_denied(lease: TokenLease, terms: LeasePolicy) -> None:
    wait_s = lease.retry_after_s(time.monotonic())
    if wait_s is not None:
        raise _rate_limited(terms, wait_s)


def _rate_limited(terms: LeasePolicy, wait_s: float) -> AccessDeniedError:
    after_s = str(max(1, math.ceil(wait_s)))
    headers = {
        "Retry-After": after_s,
        "X-RateLimit-Limit": str(terms.limit),
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": after_s,
    }
    detail = f"Rate limit of this key or its tenant exceeded: retry after {after_s} s."
    return AccessDeniedError(AccessDenial.RATE, detail, headers)
