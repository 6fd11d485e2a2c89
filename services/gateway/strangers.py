"""How often one address may send keys that nobody knows: each costs a look-up in the database.

Only look-ups that fail are counted, and those of known keys are not made here, so that people who share an address
with a wrong key (NAT, or a proxy that tells no addresses) do not pay for it. A wrong key that is sent again and again
fails once in the seconds for which it is remembered: many of them fit into what is allowed.
"""

import asyncio
import contextlib
import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable

from libs.model.refusal import RefusalCode, RefusedError
from services.gateway.denial import DeniedError, Fault

FAILED_PER_S = 10.0
FAILED_BURST = 50
AT_ONCE_MAX = 16
WAITING_MAX = 1000
WAIT_S_MAX = 3.0
ADDRESSES_MAX = 10_000


class Turn:
    """One address: how many failures are left to it, and its look-ups at this moment."""

    def __init__(self, steady: Callable[[], float]) -> None:
        self.lookups = asyncio.Semaphore(AT_ONCE_MAX)
        self.waiting = 0
        self._steady = steady
        self._left, self._at = float(FAILED_BURST), steady()

    def failed(self) -> None:
        """Counts a look-up that found nobody. Those under way at the same time may bring a debt."""
        self._left, self._at = self._now_left() - 1, self._steady()

    def wait_s(self) -> float:
        """Returns in how many seconds a look-up may be made; 0 for now."""
        return max(0.0, (1 - self._now_left()) / FAILED_PER_S)

    def _now_left(self) -> float:
        return min(FAILED_BURST, self._left + FAILED_PER_S * (self._steady() - self._at))


class Strangers:
    """The turns of the addresses that sent keys which had to be looked up, the last ones of them."""

    def __init__(self, steady: Callable[[], float] = time.monotonic) -> None:
        self._steady = steady
        self._turns: OrderedDict[str, Turn] = OrderedDict()

    @contextlib.asynccontextmanager
    async def turn(self, address: str) -> AsyncIterator[Turn]:
        """Admits one look-up, or raises DeniedError: 429. Few are made at once for one address, and the others wait."""
        turn = self._turn(network_of(address))
        _refuse_many(turn)
        if turn.waiting >= WAITING_MAX:
            raise _denied(1.0)
        turn.waiting += 1
        try:
            await _admitted(turn)
            try:
                _refuse_many(turn)
                yield turn
            finally:
                turn.lookups.release()
        finally:
            turn.waiting -= 1

    def _turn(self, network: str) -> Turn:
        turn = self._turns.get(network)
        if turn is None:
            turn = self._turns[network] = Turn(self._steady)
        self._turns.move_to_end(network)
        if len(self._turns) > ADDRESSES_MAX:
            self._turns.popitem(last=False)
        return turn


def network_of(address: str) -> str:
    """Returns what one customer of a provider has: an IPv4 address, or a /64 of IPv6."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    if ip.version == 4 or ip.ipv4_mapped is not None:
        return str(ip if ip.version == 4 else ip.ipv4_mapped)
    return str(ipaddress.ip_network((int(ip) >> 64 << 64, 64)))


async def _admitted(turn: Turn) -> None:
    try:
        async with asyncio.timeout(WAIT_S_MAX):
            await turn.lookups.acquire()
    except TimeoutError:
        raise RefusedError(RefusalCode.UNAVAILABLE, "Keys are not looked up in time at the moment.") from None


def _refuse_many(turn: Turn) -> None:
    wait_s = turn.wait_s()
    if wait_s > 0:
        raise _denied(wait_s)


def _denied(wait_s: float) -> DeniedError:
    after_s = str(max(1, math.ceil(wait_s)))
    detail = f"Too many keys that are not known came from this address: wait {after_s} s."
    return DeniedError(Fault.RATE, detail, {"Retry-After": after_s})
