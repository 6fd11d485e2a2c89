"""What the tests that send thousands of requests share: how many, which ones, and what no answer may tell.

In CI they are the same requests in each run, elsewhere others each time. VEDETTE_FUZZ_TIMES=10 sends ten times as many.
"""

import os
import re
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings

TIMES = int(os.environ.get("VEDETTE_FUZZ_TIMES", "1"))
# Requests that each of them sends at least, in one run: 10,000 and more in sum. Each asserts its own number.
DESCRIBED = 3400 * TIMES  # test_schemathesis: made from the OpenAPI document of /api/v2
RAW_V2 = 1600 * TIMES  # test_fuzz: noise for /api/v2
RAW_V1 = 5000 * TIMES  # test_monitorozas_fuzz: noise for /api/v1
ANSWER_S_MAX = 10.0
FUZZ_S_MAX = 300 * TIMES

_INSIDES = re.compile(
    r"Traceback|File \\?\"|\.py\b|libs\.|services\.|litestar|msgspec|asyncpg|faststream|SELECT |INSERT |DELETE FROM"
    r"|\bnats\b|postgres(?:ql)?://|object at 0x|/(?:usr|home|tmp|opt|etc|var)/",
    re.IGNORECASE,
)


class Insides:
    """Looks for words about our insides in answers. What clients said before may come back to them."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def said(self, *texts: str) -> None:
        """Takes note of what was sent."""
        self._said.update(word.lower() for text in texts for word in _INSIDES.findall(text))

    def told(self, text: str) -> set[str]:
        """Returns the words in an answer that nobody had said."""
        return {word.lower() for word in _INSIDES.findall(text)} - self._said


def first_seed() -> int:
    """Returns where to begin with seeds: at 0 in CI, and elsewhere where no run began before."""
    return 0 if settings().derandomize else int.from_bytes(os.urandom(6), "big")


def many(times: int, one: Callable[..., None], /, **strategies: Any) -> None:
    """Calls `one` with at least `times` examples. What fails is not made smaller: a server remembers what came before."""
    calls = 0

    @settings(max_examples=times, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(**strategies)
    def counted(**example: Any) -> None:
        nonlocal calls
        calls += 1
        one(**example)

    counted()
    assert calls >= times
