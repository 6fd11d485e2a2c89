"""How often one address may send keys that nobody knows, without a bus and in a time of the test."""

import asyncio

import pytest

from libs.model.refusal import RefusedError
from services.gateway import strangers
from services.gateway.denial import DeniedError, Fault
from services.gateway.strangers import ADDRESSES_MAX, AT_ONCE_MAX, FAILED_BURST, FAILED_PER_S, Strangers, network_of


class Steady:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def steady() -> Steady:
    return Steady()


async def look_up(asked: Strangers, address: str, *, good: bool = False) -> bool:
    """Tells whether a look-up was made."""
    try:
        async with asked.turn(address) as turn:
            if not good:
                turn.failed()
    except DeniedError:
        return False
    return True


async def failures(asked: Strangers, address: str, count: int) -> int:
    return sum([await look_up(asked, address) for _ in range(count)])


async def test_failures_of_an_address_are_bounded_and_come_back_with_time(steady: Steady) -> None:
    asked = Strangers(steady)
    assert await failures(asked, "192.0.2.1", FAILED_BURST + 20) == FAILED_BURST
    assert await failures(asked, "192.0.2.2", 1) == 1
    steady.now += 2
    assert await failures(asked, "192.0.2.1", FAILED_BURST) == 2 * FAILED_PER_S
    steady.now += 3600
    assert await failures(asked, "::ffff:192.0.2.1", FAILED_BURST + 20) == FAILED_BURST


async def test_keys_that_are_good_cost_nothing(steady: Steady) -> None:
    asked = Strangers(steady)
    for _ in range(3 * FAILED_BURST):
        assert await look_up(asked, "192.0.2.1", good=True)
    assert await failures(asked, "192.0.2.1", FAILED_BURST + 20) == FAILED_BURST
    with pytest.raises(DeniedError, match="keys that are not known") as caught:
        async with asked.turn("192.0.2.1"):
            raise AssertionError
    assert caught.value.fault is Fault.RATE
    assert caught.value.headers == {"Retry-After": "1"}


async def test_of_many_at_once_few_are_looked_up_and_the_rest_learns_of_their_failures(
    steady: Steady, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(strangers, "WAIT_S_MAX", 60.0)  # a busy machine may well take seconds for 500 tasks
    asked, open_now, most = Strangers(steady), 0, 0

    async def stranger() -> bool:
        nonlocal open_now, most
        try:
            async with asked.turn("192.0.2.1") as turn:
                open_now += 1
                most = max(most, open_now)
                await asyncio.sleep(0)
                turn.failed()
                open_now -= 1
        except DeniedError:
            return False
        return True

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(stranger()) for _ in range(500)]
    assert most == AT_ONCE_MAX
    assert FAILED_BURST <= sum(task.result() for task in tasks) < FAILED_BURST + AT_ONCE_MAX


async def test_a_line_that_does_not_move_or_is_too_long_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(strangers, "WAIT_S_MAX", 0.01)
    monkeypatch.setattr(strangers, "WAITING_MAX", AT_ONCE_MAX + 1)
    asked, release = Strangers(), asyncio.Event()

    async def hanging() -> None:
        async with asked.turn("192.0.2.1"):
            await release.wait()

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE_MAX):
            group.create_task(hanging())
        await asyncio.sleep(0)
        waiting = group.create_task(_refused_late(asked))
        await asyncio.sleep(0)
        assert not await look_up(asked, "192.0.2.1")
        await waiting
        release.set()
    assert await look_up(asked, "192.0.2.1")


async def _refused_late(asked: Strangers) -> None:
    with pytest.raises(RefusedError, match="not looked up in time"):
        await look_up(asked, "192.0.2.1")


async def test_the_addresses_that_are_remembered_are_bounded(steady: Steady) -> None:
    asked = Strangers(steady)
    assert await failures(asked, "first", FAILED_BURST + 1) == FAILED_BURST
    for number in range(ADDRESSES_MAX):
        await look_up(asked, f"other {number}")
    assert len(asked._turns) == ADDRESSES_MAX
    assert await failures(asked, "first", 1) == 1


@pytest.mark.parametrize(
    ("address", "network"),
    [
        *(("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"), ("", ""), ("unix", "unix")),
        *(("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"), ("2001:db8:1:2::1", "2001:db8:1:2::/64")),
    ],
)
def test_an_address_stands_for_what_one_customer_has(address: str, network: str) -> None:
    assert network_of(address) == network
