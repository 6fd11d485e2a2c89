"""When packets leave: in their order, no faster than is allowed, and never for a check that is over."""

import asyncio
import errno
import heapq
import itertools
import socket
from collections.abc import Callable
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ping.echo_series import DualTimestamp, EchoRequest, EchoSeries, SendTiming, make_requests
from services.ping.transports.base import SEND_QUEUE_FULL
from services.ping.transports.paced_sender import PacedSender
from services.ping.transports.pacer import Pacer

RATE_PER_S, BURST, STEP_S = 100.0, 3, 0.01


class FakeTimerLoop:
    """The clock and the timers of a loop, whose time passes as fast as it is told to."""

    def __init__(self) -> None:
        self.now = 0.0
        self._numbers = itertools.count()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._loop = asyncio.new_event_loop()

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, call: Callable[..., Any], *args: Any) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, call, args, self._loop)
        heapq.heappush(self._timers, (when, next(self._numbers), handle))
        return handle

    def run(self) -> None:
        """Lets time pass until nobody waits any more."""
        self._loop.close()
        while self._timers:
            when, _, handle = heapq.heappop(self._timers)
            if not handle.cancelled():
                self.now = max(self.now, when)
                handle._run()


class RecordingSource:
    """Leaves as often as it is told to, each time an interval later, and writes down when."""

    is_finished = False

    def __init__(self, clock: FakeTimerLoop, count: int, interval_s: float) -> None:
        self.sent_at: list[float] = []
        self._clock = clock
        self._count = count
        self._interval_s = interval_s

    def send_next(self, now: float) -> float | None:
        self.sent_at.append(self._clock.now)
        return now + self._interval_s if len(self.sent_at) < self._count else None


def run_pacer(*travels: tuple[int, float]) -> list[RecordingSource]:
    clock = FakeTimerLoop()
    pacer = Pacer(cast("asyncio.AbstractEventLoop", clock), rate_per_s=RATE_PER_S, burst=BURST, step_s=STEP_S)
    travellers = [RecordingSource(clock, *travel) for travel in travels]
    for each in travellers:
        pacer.start(each)
    clock.run()
    return travellers


@given(st.lists(st.tuples(st.integers(1, 9), st.floats(0, 0.5)), min_size=1, max_size=30))
def test_everybody_leaves_and_never_too_fast(travels: list[tuple[int, float]]) -> None:
    travellers = run_pacer(*travels)
    assert [len(each.sent_at) for each in travellers] == [count for count, _ in travels]
    left_at = sorted(at for each in travellers for at in each.sent_at)
    for first, last in itertools.combinations(range(len(left_at)), 2):
        assert last - first + 1 <= BURST + (left_at[last] - left_at[first]) * RATE_PER_S + 1e-6


@given(st.integers(2, 9), st.floats(2 * STEP_S, 1))
def test_nobody_else_there_a_packet_leaves_when_it_is_due(count: int, interval_s: float) -> None:
    (alone,) = run_pacer((count, interval_s))
    assert alone.sent_at == pytest.approx([place * interval_s for place in range(count)], abs=0.002)


def test_who_came_first_leaves_first() -> None:
    travellers = run_pacer(*[(1, 0.0)] * 20)
    assert [each.sent_at for each in travellers] == sorted(each.sent_at for each in travellers)


def test_who_is_over_takes_nobodys_turn() -> None:
    clock = FakeTimerLoop()
    pacer = Pacer(cast("asyncio.AbstractEventLoop", clock), rate_per_s=RATE_PER_S, burst=BURST, step_s=STEP_S)
    travellers = [RecordingSource(clock, 1, 0) for _ in range(BURST + 100)]
    for each in travellers:
        pacer.start(each)
    for each in travellers[BURST:-1]:
        each.is_finished = True
    clock.run()
    assert not any(each.sent_at for each in travellers[BURST:-1])
    assert travellers[-1].sent_at[0] <= 2 * STEP_S


class FakeSendQueue:
    """A queue of this machine that is full for the first `full` packets, or broken."""

    def __init__(self, full: int = 0, error: Exception | None = None) -> None:
        self.sent_at: list[float] = []
        self._full = full
        self._error = error or OSError(errno.ENOBUFS, "full")

    def send(self, _: EchoSeries, packet: EchoRequest) -> None:
        if self._full:
            self._full -= 1
            raise self._error
        packet.sent_at = DualTimestamp(0, 0)
        self.sent_at.append(asyncio.get_running_loop().time())


async def run_paced_sender(
    queue: FakeSendQueue, pace: SendTiming, within_s: float, packets: int = 3
) -> tuple[object, float]:
    """Returns how it ended, and when."""
    loop = asyncio.get_running_loop()
    flight = EchoSeries(socket.AF_INET, "192.0.2.1", make_requests(packets, 16), pace.reply_timeout_s)
    pacer = Pacer(loop)
    fault = await PacedSender(loop, flight, pace, loop.time() + within_s, queue.send).run(pacer)
    pacer.close()
    return fault, loop.time()


async def test_a_packet_that_left_late_has_all_of_its_patience() -> None:
    queue = FakeSendQueue(full=10)
    fault, ended_at = await run_paced_sender(queue, SendTiming(0.01, 0.1), within_s=30)
    assert (fault, len(queue.sent_at)) == (None, 3)
    assert ended_at - queue.sent_at[-1] >= 0.099


async def test_a_queue_that_stays_full_is_ours() -> None:
    assert (await run_paced_sender(FakeSendQueue(full=10**6), SendTiming(0.01, 0.1), within_s=0.2))[
        0
    ] is SEND_QUEUE_FULL


@pytest.mark.parametrize("error", [RuntimeError("a bug"), OSError(errno.ENOTSOCK, "a bug")])
async def test_an_error_that_nobody_foresaw_is_raised_where_it_is_waited_for(error: Exception) -> None:
    with pytest.raises(type(error), match="a bug"):
        await run_paced_sender(FakeSendQueue(full=1, error=error), SendTiming(0.01, 0.1), within_s=5)
