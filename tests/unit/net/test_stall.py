"""Stall meter: detects a blocked event loop, also while it is blocked."""

import asyncio
import time

from libs.net.stall import TIMER_INTERVAL_S, TOLERANCE_S, StallMeter


async def test_a_stall_is_measured_while_the_loop_is_blocked():
    async with StallMeter(asyncio.get_running_loop()) as meter:
        before = meter.stalled_s
        time.sleep(TIMER_INTERVAL_S + TOLERANCE_S + 0.2)
        assert meter.stalled_s - before >= 0.2


async def test_a_stall_is_counted_once_after_the_loop_resumes():
    async with StallMeter(asyncio.get_running_loop()) as meter:
        time.sleep(TIMER_INTERVAL_S + TOLERANCE_S + 0.5)
        blocked = meter.stalled_s
        await asyncio.sleep(0)
        assert blocked >= 0.5
        assert meter.stalled_s >= blocked
        after = meter.stalled_s
        await asyncio.sleep(0)
        assert meter.stalled_s - after < 0.5
