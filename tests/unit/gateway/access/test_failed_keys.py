"""Rate limit for failed key look-ups, without a bus and with a manual clock."""

import asyncio

import pytest

from libs.model.requests.errors import RequestError
from services.gateway.access import failed_keys
from services.gateway.access.errors import AccessDenial, AccessDeniedError
from services.gateway.access.failed_keys import (
    ADDRESSES_MAX,
    FAILED_BURST,
    FAILED_PER_S,
    LOOKUPS_MAX,
    FailedKeyLimiter,
    client_network,
)


class ManualClock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def steady() -> ManualClock:
    return ManualClock()


async def try_lookup(asked: FailedKeyLimiter, address: str, *, good: bool = False) -> bool:
    """Tells whether a look-up was made."""
    try:
        async with asked.admit_lookup(address) as turn:
            if not good:
                turn.record_failure()
    except AccessDeniedError:
        return False
    return True


async def count_failures(asked: FailedKeyLimiter, address: str, count: int) -> int:
    return sum([await try_lookup(asked, address) for _ in range(count)])


async def test_failures_of_an_address_are_bounded_and_come_back_with_time(steady: ManualClock) -> None:
    asked = FailedKeyLimiter(steady)
    assert await count_failures(asked, "192.0.2.1", FAILED_BURST + 20) == FAILED_BURST
    assert await count_failures(asked, "192.0.2.2", 1) == 1
    steady.now += 2
    assert await count_failures(asked, "192.0.2.1", FAILED_BURST) == 2 * FAILED_PER_S
    steady.now += 3600
    assert await count_failures(asked, "::ffff:192.0.2.1", FAILED_BURST + 20) == FAILED_BURST


async def test_keys_that_are_good_cost_nothing(steady: ManualClock) -> None:
    asked = FailedKeyLimiter(steady)
    for _ in range(3 * FAILED_BURST):
        assert await try_lookup(asked, "192.0.2.1", good=True)
    assert await count_failures(asked, "192.0.2.1", FAILED_BURST + 20) == FAILED_BURST
    with pytest.raises(AccessDeniedError, match="unknown keys") as caught:
        async with asked.admit_lookup("192.0.2.1"):
            raise AssertionError
    assert caught.value.denial is AccessDenial.RATE
    assert caught.value.headers == {"Retry-After": "1"}


async def test_concurrent_lookups_are_limited_and_waiting_ones_see_the_failures(
    steady: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failed_keys, "QUEUE_S_MAX", 60.0)  # a busy machine may well take seconds for 500 tasks
    asked, open_now, most = FailedKeyLimiter(steady), 0, 0

    async def stranger() -> bool:
        nonlocal open_now, most
        try:
            async with asked.admit_lookup("192.0.2.1") as turn:
                open_now += 1
                most = max(most, open_now)
                await asyncio.sleep(0)
                turn.record_failure()
                open_now -= 1
        except AccessDeniedError:
            return False
        return True

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(stranger()) for _ in range(500)]
    assert most == LOOKUPS_MAX
    assert FAILED_BURST <= sum(task.result() for task in tasks) < FAILED_BURST + LOOKUPS_MAX


async def test_lookups_fail_when_the_queue_is_stalled_or_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failed_keys, "QUEUE_S_MAX", 0.01)
    monkeypatch.setattr(failed_keys, "QUEUE_MAX", LOOKUPS_MAX + 1)
    asked, release = FailedKeyLimiter(), asyncio.Event()

    async def hanging() -> None:
        async with asked.admit_lookup("192.0.2.1"):
            await release.wait()

    async with asyncio.TaskGroup() as group:
        for _ in range(LOOKUPS_MAX):
            group.create_task(hanging())
        await asyncio.sleep(0)
        waiting = group.create_task(_refused_late(asked))
        await asyncio.sleep(0)
        assert not await try_lookup(asked, "192.0.2.1")
        await waiting
        release.set()
    assert await try_lookup(asked, "192.0.2.1")


async def _refused_late(asked: FailedKeyLimiter) -> None:
    with pytest.raises(RequestError, match="not be looked up in time"):
        await try_lookup(asked, "192.0.2.1")


async def test_the_addresses_that_are_remembered_are_bounded(steady: ManualClock) -> None:
    asked = FailedKeyLimiter(steady)
    assert await count_failures(asked, "first", FAILED_BURST + 1) == FAILED_BURST
    for number in range(ADDRESSES_MAX):
        await try_lookup(asked, f"other {number}")
    assert len(asked._budgets) == ADDRESSES_MAX
    assert await count_failures(asked, "first", 1) == 1


@pytest.mark.parametrize(
    ("address", "network"),
    [
        *(("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"), ("", ""), ("unix", "unix")),
        *(("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"), ("2001:db8:1:2::1", "2001:db8:1:2::/64")),
    ],
)
def test_an_address_stands_for_what_one_customer_has(address: str, network: str) -> None:
    assert client_network(address) == network
