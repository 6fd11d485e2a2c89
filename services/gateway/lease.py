"""How one gateway spends requests that it was granted in advance: pure, and the same for every key.

Instants are seconds of one steady clock. Whatever a lease does, no granted request is used twice, and none that was
given back is used at all.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from libs.model.requests import Granted
from libs.model.tenancy import Rate

HELD_S = 1.0
WANTED_MAX = 64
DENIED_S_MAX = 1.0
GATHERED_S = 0.1
TRUSTED_S = 1.0


class Ask(NamedTuple):
    """What to ask the buckets for, and what to put back."""

    wanted: int
    unused: int


@dataclass(frozen=True)
class Terms:
    """What follows from the rates of a key and its tenant, for the one who takes from both.

    `wanted_max` keeps one gateway from emptying small buckets alone. `pause_s` is waited after a denial, so that a
    flood finds several requests there and not each one as it comes; never so long that a bucket overflows meanwhile.
    """

    wanted_max: int
    pause_s: float
    limit: int

    @classmethod
    def of(cls, rates: Sequence[Rate]) -> "Terms":
        """Returns the terms of at least one rate, each with more than 0 per second."""
        limit = min(rate.burst for rate in rates)
        fills_s = min(rate.burst / rate.per_s for rate in rates)
        return cls(max(1, min(WANTED_MAX, limit // 10)), min(GATHERED_S, fills_s / 2), limit)


class Lease:
    """The requests of one key that this gateway may let through without asking."""

    def __init__(self) -> None:
        self._held = 0
        self._wanted = 1
        self._granted_at = -math.inf
        self._trusted_until = -math.inf
        self._denied_until = -math.inf
        self._back_at = -math.inf

    def spend(self, now: float) -> bool:
        """Lets one request through, if there is one left; none that is older than `HELD_S`."""
        if now < self._trusted_until:
            return True
        if self._held and now < self._granted_at + HELD_S:
            self._held -= 1
            return True
        return False

    def denied_s(self, now: float) -> float | None:
        """Returns in how many seconds there is a request again, while it is of no use to ask; else None."""
        return max(0.0, self._back_at - now) if now < self._denied_until else None

    def ask(self, now: float, terms: Terms, waiting: int) -> Ask:
        """Returns what to ask for, when `waiting` requests wait for it. What is held is given back by this."""
        fresh = now < self._granted_at + HELD_S
        self._wanted = min(terms.wanted_max, max(waiting, self._wanted * 2 if fresh else 1))
        unused, self._held = self._held, 0
        return Ask(self._wanted, unused)

    def settle(self, now: float, terms: Terms, granted: Granted) -> bool:
        """Takes what was granted and lets one request through, or keeps quiet for a while after a denial."""
        if granted.granted > 0:
            self._held, self._granted_at = granted.granted - 1, now
            return True
        self._back_at = now + granted.retry_after_s
        self._denied_until = now + min(DENIED_S_MAX, max(terms.pause_s, granted.retry_after_s))
        return False

    def trust(self, now: float) -> None:
        """Lets everything through for `TRUSTED_S`, since nobody can tell."""
        self._trusted_until = now + TRUSTED_S
