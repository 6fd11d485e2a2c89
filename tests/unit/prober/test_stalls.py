"""A loop that stood still is noticed, also while it still does."""

import asyncio
import time

from libs.prober.stalls import BEAT_S, NOTED_S, Stalls


async def test_a_blocked_loop_is_a_stall() -> None:
    with Stalls().watching() as stalls:
        await asyncio.sleep(0)
        start = time.monotonic()
        time.sleep(BEAT_S + NOTED_S + 0.2)
        assert stalls.longest_since(start) >= NOTED_S


async def test_a_stall_before_the_check_is_not_its_excuse() -> None:
    with Stalls().watching() as stalls:
        time.sleep(BEAT_S + NOTED_S + 0.2)
        await asyncio.sleep(0)
        stalls.longest_since(0)
        assert stalls.longest_since(time.monotonic()) == 0
