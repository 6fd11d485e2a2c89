"""Token lease: the tokens of one key that a gateway has taken in advance. Pure.

Instants are seconds of a monotonic clock. No token is used twice, and none that was returned is used.
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
    """A request to the buckets: tokens to take, and unused tokens to return."""

    wanted: int
    unused: int


@dataclass(frozen=True)
class LeasePolicy:
    """Parameters of a lease, derived from the rates of the key and its tenant.

    `request_max` keeps one gateway from emptying small buckets. `pause_s` follows a denial, so that a flood of requests
    causes few requests for tokens; it is too short for a bucket to overflow meanwhile.
    """

    request_max: int
    pause_s: float
    limit: int

    @classmethod
    def from_rates(cls, rates: Sequence[Rate]) -> "LeasePolicy":
        """Returns the policy for at least one rate; each must be above 0 per second."""
        limit = min(rate.burst for rate in rates)
        fills_s = min(rate.burst / rate.per_s for rate in rates)
        return cls(max(1, min(REQUEST_TOKENS_MAX, limit // 10)), min(DENIAL_S_MIN, fills_s / 2), limit)


class TokenLease:
    """Tokens of one key that this gateway may spend without a request to the results service."""

    def __init__(self) -> None:
        self._tokens = 0
        self._request_size = 1
        self._granted_at = -math.inf
        self._fail_open_until = -math.inf
        self._denied_until = -math.inf
        self._available_at = -math.inf

    def spend(self, now: float) -> bool:
        """Spends one token; False if there is none younger than `LEASE_TTL_S`."""
        if now < self._fail_open_until:
            return True
        if self._tokens and now < self._granted_at + LEASE_TTL_S:
            self._tokens -= 1
            return True
        return False

    def retry_after_s(self, now: float) -> float | None:
        """Returns the seconds until the next token after a denial; None once tokens may be requested."""
        return max(0.0, self._available_at - now) if now < self._denied_until else None

    def next_request(self, now: float, terms: LeasePolicy, waiting: int) -> TokenRequest:
        """Returns the next request for tokens, for `waiting` requests. Returns all held tokens to the buckets."""
        fresh = now < self._granted_at + LEASE_TTL_S
        self._request_size = min(terms.request_max, max(waiting, self._request_size * 2 if fresh else 1))
        unused, self._tokens = self._tokens, 0
        return TokenRequest(self._request_size, unused)

    def apply_grant(self, now: float, terms: LeasePolicy, granted: RateGrant) -> bool:
        """Applies a grant and spends one token; False, and a pause, if nothing was granted."""
        if granted.granted > 0:
            self._tokens, self._granted_at = granted.granted - 1, now
            return True
        self._available_at = now + granted.retry_after_s
        self._denied_until = now + min(DENIAL_S_MAX, max(terms.pause_s, granted.retry_after_s))
        return False

    def fail_open(self, now: float) -> None:
        """Admits everything for `FAIL_OPEN_S` seconds."""
        self._fail_open_until = now + FAIL_OPEN_S
