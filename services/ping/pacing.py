"""How fast packets leave: a token bucket for the whole process, so that many targets at once become a stream."""

import asyncio
from collections import deque
from collections.abc import Callable

RATE_PER_S = 20_000.0
BURST = 200
# Those who wait are let go in small groups.
_STEP_S = 0.002


class Pacer:
    """Lets `rate_per_s` packets go each second, `burst` of them at once; the others wait in their order."""

    def __init__(
        self, clock: Callable[[], float], *, rate_per_s: float = RATE_PER_S, burst: int = BURST, step_s: float = _STEP_S
    ) -> None:
        self._clock = clock
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._step_s = step_s
        self._tokens = float(burst)
        self._filled_at = clock()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    async def turn(self, deadline: float) -> bool:
        """Returns true when the next packet may leave, false at `deadline`, an instant of the loop's clock."""
        self._fill()
        if not self._waiting and self._tokens >= 1:
            self._tokens -= 1
            return True
        loop = asyncio.get_running_loop()
        turn = loop.create_future()
        self._waiting.append(turn)
        if self._timer is None:
            self._timer = loop.call_later(self._step_s, self._release)
        try:
            async with asyncio.timeout_at(deadline):
                await turn
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """Lets nobody wait any more."""
        if self._timer is not None:
            self._timer.cancel()
        for turn in self._waiting:
            turn.cancel()

    def _release(self) -> None:
        self._timer = None
        self._fill()
        while self._waiting and self._tokens >= 1:
            turn = self._waiting.popleft()
            if not turn.done():  # else its check was cancelled
                self._tokens -= 1
                turn.set_result(None)
        if self._waiting:
            self._timer = asyncio.get_running_loop().call_later(self._step_s, self._release)

    def _fill(self) -> None:
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._rate_per_s)
        self._filled_at = now
