"""How often a key and its tenant may ask: requests are granted in advance by the results room, to all gateways in sum."""

import asyncio
import math
import time
from collections import OrderedDict

import msgspec
import structlog

from libs.bus.bus import Bus
from libs.model.refusal import RefusalCode, RefusedError
from libs.model.requests import TakeRequests
from libs.model.tenancy import Principal, Rate
from services.gateway.denial import DeniedError, Fault
from services.gateway.lease import Lease, Terms

KEYS_MAX = 10_000
WAITING_MAX = 1000
ASK_S_MAX = 3.0
WAIT_S_MAX = 5.0

_NOT_COUNTED = "Requests of this key are not counted in time at the moment: it has too many at once."

_log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Line:
    """One key: its lease, and those who wait while one of them asks for more."""

    def __init__(self) -> None:
        self.lease = Lease()
        self.asking = asyncio.Lock()
        self.waiting = 0


class Limits:
    """Knows whether a request may go on. The rates are for keys and tenants that have none of their own."""

    def __init__(self, bus: Bus, key_rate: Rate, tenant_rate: Rate) -> None:
        self._bus = bus
        self._key_rate, self._tenant_rate = key_rate, tenant_rate
        self._lines: OrderedDict[str, Line] = OrderedDict()

    async def take(self, principal: Principal) -> None:
        """Counts one request of the principal, or raises DeniedError: 429 with when to come back.

        RefusedError (`unavailable`) when others of the key were counted for `WAIT_S_MAX`, and this one was not.
        """
        key_rate, tenant_rate = principal.rate or self._key_rate, principal.tenant_rate or self._tenant_rate
        if key_rate.per_s <= 0 and tenant_rate.per_s <= 0:
            return
        line = self._line(principal.key_id)
        if line.lease.spend(time.monotonic()):
            return
        request = TakeRequests(
            tenant_id=principal.tenant_id,
            key_id=principal.key_id,
            wanted=1,
            key_rate=key_rate,
            tenant_rate=tenant_rate,
        )
        await self._stand_in(line, request)

    async def _stand_in(self, line: Line, request: TakeRequests) -> None:
        terms = Terms.of([rate for rate in (request.key_rate, request.tenant_rate) if rate.per_s > 0])
        _refuse_denied(line.lease, terms)
        if line.waiting >= WAITING_MAX:
            raise _denied(terms, 1.0)
        line.waiting += 1
        try:
            async with asyncio.timeout(WAIT_S_MAX), line.asking:
                await self._first_in(line, request, terms)
        except TimeoutError:
            # No reason to trust: whoever asks often enough for a long line would be rid of the limit by it.
            raise RefusedError(RefusalCode.UNAVAILABLE, _NOT_COUNTED) from None
        finally:
            line.waiting -= 1

    async def _first_in(self, line: Line, request: TakeRequests, terms: Terms) -> None:
        """Uses what the one before has brought, or asks for more."""
        lease = line.lease
        if lease.spend(time.monotonic()):
            return
        _refuse_denied(lease, terms)
        wanted, unused = lease.ask(time.monotonic(), terms, line.waiting)
        try:
            asked = msgspec.structs.replace(request, wanted=wanted, unused=unused)
            granted = await self._bus.ask(asked, timeout_s=ASK_S_MAX)
        except RefusedError as error:
            _trust(lease, error.refusal.detail)
            return
        if not lease.settle(time.monotonic(), terms, granted):
            raise _denied(terms, granted.retry_after_s)

    def _line(self, key_id: str) -> Line:
        """Returns the line of a key; of those beyond `KEYS_MAX`, what they hold is lost."""
        line = self._lines.get(key_id)
        if line is None:
            line = self._lines[key_id] = Line()
            if len(self._lines) > KEYS_MAX:
                self._lines.popitem(last=False)
        else:
            self._lines.move_to_end(key_id)
        return line


def _trust(lease: Lease, error: str) -> None:
    """Lets requests go on while nobody can tell: a 429 would say of a client what is wrong with us.

    Whoever needs the results room gets its 503 there, and what needs nothing of it works on.
    """
    _log.warning("limits.not_answered", error=error)
    lease.trust(time.monotonic())


def _refuse_denied(lease: Lease, terms: Terms) -> None:
    wait_s = lease.denied_s(time.monotonic())
    if wait_s is not None:
        raise _denied(terms, wait_s)


def _denied(terms: Terms, wait_s: float) -> DeniedError:
    after_s = str(max(1, math.ceil(wait_s)))
    headers = {
        "Retry-After": after_s,
        "X-RateLimit-Limit": str(terms.limit),
        "X-RateLimit-Remaining": "0",
        "X-RateLimit-Reset": after_s,
    }
    detail = f"This key or its tenant asks too often: wait {after_s} s."
    return DeniedError(Fault.RATE, detail, headers)
