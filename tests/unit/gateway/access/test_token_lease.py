"""Token leases of several gateways under generated load."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.model.requests.messages import RateGrant
from libs.model.tenancy import Rate
from services.gateway.access.token_lease import LEASE_TTL_S, REQUEST_TOKENS_MAX, LeasePolicy, TokenLease, TokenRequest


@dataclass
class TokenBuckets:
    """What libs.store.tenancy.token_buckets does with the buckets of one key and its tenant, in a time that is handed in."""

    rates: Sequence[Rate]
    at: float = 0.0
    tokens: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tokens = [float(rate.burst) for rate in self.rates]

    def take(self, now: float, ask: TokenRequest) -> RateGrant:
        passed, self.at = now - self.at, now
        filled = [
            min(rate.burst, tokens + ask.unused + rate.per_s * passed)
            for rate, tokens in zip(self.rates, self.tokens, strict=True)
        ]
        granted = min(ask.wanted, math.floor(min(filled)))
        self.tokens = [tokens - granted for tokens in filled]
        missing = zip(self.rates, self.tokens, strict=True)
        wait_s = 0.0 if granted else max((1 - tokens) / rate.per_s for rate, tokens in missing)
        return RateGrant(granted=granted, left=math.floor(min(self.tokens)), retry_after_s=wait_s)


@dataclass
class LeaseUser:
    """Does what services.gateway.access.rate_limiter does, without a line."""

    buckets: TokenBuckets
    terms: LeasePolicy
    lease: TokenLease = field(default_factory=TokenLease)
    token_requests: list[TokenRequest] = field(default_factory=list)

    def request(self, now: float, *, lost: bool = False) -> bool:
        """Tells whether a request goes on; when the reply is `lost`, one of those that were not counted."""
        if self.lease.spend(now):
            return True
        if self.lease.retry_after_s(now) is not None:
            return False
        self.token_requests.append(self.lease.next_request(now, self.terms, 1))
        granted = self.buckets.take(now, self.token_requests[-1])
        return False if lost else self.lease.apply_grant(now, self.terms, granted)


rates = st.builds(Rate, per_s=st.floats(0.01, 1000), burst=st.integers(1, 1000))
steps = st.tuples(st.integers(0, 2), st.integers(1, 150), st.floats(0, 3), st.booleans())


@given(pair=st.lists(rates, min_size=1, max_size=2), demand=st.lists(steps, max_size=40))
def test_all_gateways_together_never_let_through_more_than_the_buckets_give(
    pair: list[Rate], demand: list[tuple[int, int, float, bool]]
) -> None:
    buckets, terms = TokenBuckets(pair), LeasePolicy.from_rates(pair)
    gateways = [LeaseUser(buckets, terms) for _ in range(3)]
    now, passed = 0.0, 0
    for number, requests, pause_s, lost in demand:
        now += pause_s
        passed += sum(gateways[number].request(now, lost=lost) for _ in range(requests))
        for rate in pair:
            assert passed <= rate.burst + rate.per_s * now + 1e-6
        assert min(buckets.tokens) >= 0
    for ask in (ask for gateway in gateways for ask in gateway.token_requests):
        assert 1 <= ask.wanted <= max(1, min(REQUEST_TOKENS_MAX, terms.limit // 10))


@given(rate=rates, demand=st.lists(st.tuples(st.integers(1, 150), st.floats(0, 3)), min_size=1, max_size=40))
def test_one_gateway_alone_denies_only_when_the_bucket_is_empty_or_was_a_moment_ago(
    rate: Rate, demand: list[tuple[int, float]]
) -> None:
    gateway = LeaseUser(TokenBuckets([rate]), LeasePolicy.from_rates([rate]))
    now, denied_at = 0.0, -math.inf
    for requests, pause_s in demand:
        now += pause_s
        for _ in range(requests):
            if gateway.request(now):
                continue
            level = gateway.buckets.tokens[0] + rate.per_s * (now - gateway.buckets.at)
            denied_at = now if level < 1 else denied_at
            assert now - denied_at <= 1


@given(rate=rates)
def test_a_client_that_waits_for_retry_after_is_admitted(rate: Rate) -> None:
    gateway, now = LeaseUser(TokenBuckets([rate]), LeasePolicy.from_rates([rate])), 0.0
    while gateway.request(now):
        pass
    wait_s = gateway.lease.retry_after_s(now)
    assert wait_s is not None
    assert gateway.request(now + max(1, math.ceil(wait_s)))


def use_lease(wanted: int, *, at: float, terms: LeasePolicy, lease: TokenLease) -> TokenRequest:
    """Asks at that time, is granted all of it, and uses `wanted` of them."""
    ask = lease.next_request(at, terms, 1)
    assert lease.apply_grant(at, terms, RateGrant(granted=ask.wanted, left=9, retry_after_s=0))
    assert all(lease.spend(at) for _ in range(wanted - 1))
    return ask


def test_the_request_size_doubles_under_load_and_resets_after_a_second() -> None:
    terms, lease = LeasePolicy.from_rates([Rate(per_s=10, burst=500)]), TokenLease()
    asks = [use_lease(number, at=0.1 * turn, terms=terms, lease=lease) for turn, number in enumerate((1, 2, 4, 8, 16))]
    assert [ask.wanted for ask in asks] == [1, 2, 4, 8, 16]
    assert use_lease(32, at=0.5, terms=terms, lease=lease) == (32, 0)
    assert use_lease(50, at=0.6, terms=terms, lease=lease) == (50, 0)
    assert lease.next_request(0.6 + LEASE_TTL_S, terms, 1) == (1, 0)


def test_tokens_are_requested_for_all_waiting_requests() -> None:
    assert TokenLease().next_request(0, LeasePolicy.from_rates([Rate(per_s=10, burst=10_000)]), 40).wanted == 40
    assert (
        TokenLease().next_request(0, LeasePolicy.from_rates([Rate(per_s=10, burst=10_000)]), 400).wanted
        == REQUEST_TOKENS_MAX
    )
    assert (
        TokenLease()
        .next_request(0, LeasePolicy.from_rates([Rate(per_s=10, burst=10_000), Rate(per_s=1, burst=30)]), 40)
        .wanted
        == 3
    )
    assert TokenLease().next_request(0, LeasePolicy.from_rates([Rate(per_s=10, burst=5)]), 40).wanted == 1


def test_tokens_expire_after_a_second_and_are_returned() -> None:
    terms, lease = LeasePolicy.from_rates([Rate(per_s=10, burst=500)]), TokenLease()
    lease.apply_grant(0, terms, RateGrant(granted=8, left=0, retry_after_s=0))
    assert lease.spend(LEASE_TTL_S - 0.01)
    assert not lease.spend(LEASE_TTL_S)
    assert lease.next_request(LEASE_TTL_S, terms, 1) == (1, 6)
    assert not lease.spend(LEASE_TTL_S - 0.01)
    assert lease.next_request(LEASE_TTL_S, terms, 1).unused == 0


@pytest.mark.parametrize(("retry_after_s", "quiet_s"), [(30.0, 1.0), (1.0, 1.0), (0.4, 0.4), (0.02, 0.1), (0.001, 0.1)])
def test_a_denial_is_repeated_locally_for_a_bounded_time(retry_after_s: float, quiet_s: float) -> None:
    terms, lease = LeasePolicy.from_rates([Rate(per_s=50, burst=500)]), TokenLease()
    assert not lease.apply_grant(7, terms, RateGrant(granted=0, left=0, retry_after_s=retry_after_s))
    assert not lease.spend(7)
    assert lease.retry_after_s(7) == pytest.approx(retry_after_s)
    assert lease.retry_after_s(7 + quiet_s * 0.99) is not None
    assert lease.retry_after_s(7 + quiet_s * 1.01) is None


def test_the_pause_lets_no_bucket_overflow() -> None:
    assert LeasePolicy.from_rates([Rate(per_s=100, burst=1)]).pause_s == pytest.approx(0.005)
    assert LeasePolicy.from_rates([Rate(per_s=1, burst=1), Rate(per_s=200, burst=2)]).pause_s == pytest.approx(0.005)
    assert LeasePolicy.from_rates([Rate(per_s=50, burst=500)]).pause_s == pytest.approx(0.1)


def test_failing_open_admits_everything_for_a_second() -> None:
    lease = TokenLease()
    lease.fail_open(3)
    assert lease.spend(3.99)
    assert not lease.spend(4.0)
