"""How one gateway spends requests that it was granted in advance: pure, and the same for every key.

Instants are seconds of one steady clock. Whatever a lease does, no granted request is used twice, and none that was
given back is used at all.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from libs.model.requests.messages import RateGrant
from libs.model.tenancy import Rate

LEASE_TTL_S = 1.0
REQUEST_TOKENS_MAX = 64
DENIAL_S_MAX = 1.0
DENIAL_S_MIN = 0.1
FAIL_OPEN_S = 1.0


class TokenRequest(NamedTuple):
    """What to ask the buckets for, and what to put back."""

    wanted: int
    unused: int


@dataclass(frozen=True)
class LeasePolicy:
    """What follows from the rates of a key and its tenant, for the one who takes from both.

    `wanted_max` keeps one gateway from emptying small buckets alone. `pause_s` is waited after a denial, so that a
    flood finds several requests there and not each one as it comes; never so long that a bucket overflows meanwhile.
    """

    request_max: int
    pause_s: float
    limit: int

    @classmethod
    def from_rates(cls, rates: Sequence[Rate]) -> "LeasePolicy":
        """Returns the terms of at least one rate, each with more than 0 per second."""
        limit = min(rate.burst for rate in rates)
        fills_s = min(rate.burst / rate.per_s for rate in rates)
        return cls(max(1, min(REQUEST_TOKENS_MAX, limit // 10)), min(DENIAL_S_MIN, fills_s / 2), limit)


class TokenLease:
    """The requests of one key that this gateway may let through without asking."""

    def __init__(self) -> None:
        self._tokens = 0
        self._request_size = 1
        self._granted_at = -math.inf
        self._fail_open_until = -math.inf
        self._denied_until = -math.inf
        self._available_at = -math.inf

    def spend(self, now: float) -> bool:
        """Lets one request through, if there is one left; none that is older than `HELD_S`."""
        if now < self._fail_open_until:
            return True
        if self._tokens and now < self._granted_at + LEASE_TTL_S:
            self._tokens -= 1
            return True
        return False

    def retry_after_s(self, now: float) -> float | None:
        """Returns in how many seconds there is a request again, while it is of no use to ask; else None."""
        return max(0.0, self._available_at - now) if now < self._denied_until else None

    def next_request(self, now: float, terms: LeasePolicy, waiting: int) -> TokenRequest:
        """Returns what to ask for, when `waiting` requests wait for it. What is held is given back by this."""
        fresh = now < self._granted_at + LEASE_TTL_S
        self._request_size = min(terms.request_max, max(waiting, self._request_size * 2 if fresh else 1))
        unused, self._tokens = self._tokens, 0
        return TokenRequest(self._request_size, unused)

    def apply_grant(self, now: float, terms: LeasePolicy, granted: RateGrant) -> bool:
        """Takes what was granted and lets one request through, or keeps quiet for a while after a denial."""
        if granted.granted > 0:
            self._tokens, self._granted_at = granted.granted - 1, now
            return True
        self._available_at = now + granted.retry_after_s
        self._denied_until = now + min(DENIAL_S_MAX, max(terms.pause_s, granted.retry_after_s))
        return False

    def fail_open(self, now: float) -> None:
        """Lets everything through for `TRUSTED_S`, since nobody can tell."""
        self._fail_open_until = now + FAIL_OPEN_S
