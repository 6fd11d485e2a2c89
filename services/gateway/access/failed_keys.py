"""Rate limit for failed key look-ups, per client address.

Each look-up costs a database query. Only failed ones are counted, and known keys are not looked up here: clients that
share an address (NAT, or a proxy that adds no X-Forwarded-For) with a wrong key are not affected. A wrong key is
cached, so that repeating it fails once in the lifetime of its cache entry.
"""

import asyncio
import contextlib
import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable

from libs.model.requests.errors import ErrorCode, RequestError
from services.gateway.access.errors import AccessDenial, AccessDeniedError

FAILED_PER_S = 10.0
FAILED_BURST = 50
LOOKUPS_MAX = 16
QUEUE_MAX = 1000
QUEUE_S_MAX = 3.0
ADDRESSES_MAX = 10_000


class AddressBudget:
    """Failure budget (token bucket) and concurrent look-ups of one client address."""

    def __init__(self, steady: Callable[[], float]) -> None:
        self.lookups = asyncio.Semaphore(LOOKUPS_MAX)
        self.waiting = 0
        self._clock = steady
        self._tokens, self._updated_at = float(FAILED_BURST), steady()

    def record_failure(self) -> None:
        """Counts a failed look-up. Concurrent failures may overdraw the budget."""
        self._tokens, self._updated_at = self._available() - 1, self._clock()

    def wait_s(self) -> float:
        """Returns the seconds until a look-up is allowed; 0 for now."""
        return max(0.0, (1 - self._available()) / FAILED_PER_S)

    def _available(self) -> float:
        return min(FAILED_BURST, self._tokens + FAILED_PER_S * (self._clock() - self._updated_at))


class FailedKeyLimiter:
    """Limits key look-ups by client address. Keeps the `ADDRESSES_MAX` most recently used addresses."""

    def __init__(self, steady: Callable[[], float] = time.monotonic) -> None:
        self._clock = steady
        self._budgets: OrderedDict[str, AddressBudget] = OrderedDict()

    @contextlib.asynccontextmanager
    async def admit_lookup(self, address: str) -> AsyncIterator[AddressBudget]:
        """Admits one look-up, or raises AccessDeniedError (429).

        At most `LOOKUPS_MAX` run at once for an address; others wait.
        """
        turn = self._budget(client_network(address))
        _raise_if_exhausted(turn)
        if turn.waiting >= QUEUE_MAX:
            raise _rate_limited(1.0)
        turn.waiting += 1
        try:
            await _acquire_lookup(turn)
            try:
                _raise_if_exhausted(turn)
                yield turn
            finally:
                turn.lookups.release()
        finally:
            turn.waiting -= 1

    def _budget(self, network: str) -> AddressBudget:
        turn = self._budgets.get(network)
        if turn is None:
            turn = self._budgets[network] = AddressBudget(self._clock)
        self._budgets.move_to_end(network)
        if len(self._budgets) > ADDRESSES_MAX:
            self._budgets.popitem(last=False)
        return turn


def client_network(address: str) -> str:
    """Returns the network of one customer: an IPv4 address, or a /64 of IPv6."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if ip.version == 4 or ip.ipv4_mapped is not None:
        return str(ip if ip.version == 4 else ip.ipv4_mapped)
    return str(ipaddress.ip_network((int(ip) >> 64 << 64, 64)))


async def _acquire_lookup(turn: AddressBudget) -> None:
    try:
        async with asyncio.timeout(QUEUE_S_MAX):
            await turn.lookups.acquire()
    except TimeoutError:
        raise RequestError(ErrorCode.UNAVAILABLE, "The key could not be looked up in time.") from None


def _raise_if_exhausted(turn: AddressBudget) -> None:
    wait_s = turn.wait_s()
    if wait_s > 0:
        raise _rate_limited(wait_s)


def _rate_limited(wait_s: float) -> AccessDeniedError:
    after_s = str(max(1, math.ceil(wait_s)))
    detail = f"Too many requests with unknown keys from this address: retry after {after_s} s."
    return AccessDeniedError(AccessDenial.RATE, detail, {"Retry-After": after_s})
