"""Carries packets between two tunnel devices and treats them as badly as it is told. Run as a process of its own."""

import contextlib
import heapq
import os
import random
import select
import sys
import time
from dataclasses import dataclass

_PACKET_BYTES = 65_536


@dataclass(frozen=True)
class Rules:
    """What happens to packets. Ratios are of all packets; those that are reordered skip the delay."""

    loss: float = 0.0
    delay_s: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0

    @property
    def netem(self) -> str:
        words = [f"delay {self.delay_s * 1000:g}ms"] if self.delay_s else []
        words += [
            f"{name} {ratio * 100:g}%"
            for name, ratio in (("loss", self.loss), ("duplicate", self.duplicate), ("reorder", self.reorder))
            if ratio
        ]
        return " ".join(words)


class Carrier:
    """Carries packets from `left` to `right` by the rules, and back as they are."""

    def __init__(self, left: int, right: int, rules: Rules) -> None:
        self._left = left
        self._right = right
        self._rules = rules
        self._due: list[tuple[float, int, bytes]] = []
        self._count = 0

    def carry(self) -> None:
        poll = select.poll()
        for end in (self._left, self._right):
            poll.register(end, select.POLLIN)
        while True:
            wait_s = self._due[0][0] - time.monotonic() if self._due else 1.0
            for end, _ in poll.poll(max(wait_s * 1000, 0)):
                self._take(end)
            self._deliver()

    def _take(self, end: int) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                data = os.read(end, _PACKET_BYTES)
                if end == self._right:
                    os.write(self._left, data)
                    continue
                # netem draws the repeat before the loss, so that one of two may be lost.
                copies = 1 + (random.random() < self._rules.duplicate) - (random.random() < self._rules.loss)
                for _ in range(copies):
                    self._put(data)

    def _put(self, data: bytes) -> None:
        delay_s = 0.0 if random.random() < self._rules.reorder else self._rules.delay_s
        self._count += 1
        heapq.heappush(self._due, (time.monotonic() + delay_s, self._count, data))

    def _deliver(self) -> None:
        while self._due and self._due[0][0] <= time.monotonic():
            os.write(self._right, heapq.heappop(self._due)[2])


if __name__ == "__main__":
    Carrier(int(sys.argv[1]), int(sys.argv[2]), Rules(*map(float, sys.argv[3:7]))).carry()
