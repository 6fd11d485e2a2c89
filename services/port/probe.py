"""Kind `port`: connects, has the conversation that the service is known for, and says what came of it."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from msgspec.structs import replace

from libs.model.family import joined
from libs.model.outcome import Outcome, Reason, Status
from libs.net.egress import Egress
from libs.net.fault import Fault
from libs.net.resolve import Resolver
from libs.net.stall import StallMeter
from libs.net.tls import Trust
from services.port.spec import PortSpec
from services.port.visit import Visit, Visitor

# The share of the time that a loop may have stood still, and in any case the seconds, before a timeout is our own.
_STALLED_SHARE = 0.1
_STALLED_S = 0.2


class PortProbe:
    """The probe of kind port: one resolver and one set of root certificates, a fresh connection for every check."""

    def __init__(
        self,
        nameservers: Sequence[str] = (),
        ca_file: Path | None = None,
        clock: Callable[[], float] = time.time,
        *,
        egress: Egress | None = None,
    ) -> None:
        self._clock = clock
        self._nameservers = nameservers
        self._ca_file = ca_file
        self._egress = egress or Egress()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        resolver = await self._stack.enter_async_context(Resolver(self._nameservers))
        self._meter = await self._stack.enter_async_context(StallMeter(loop))
        self._visitor = Visitor(loop, resolver, Trust(self._ca_file), self._egress, self._clock)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def __call__(self, spec: PortSpec, timeout_s: float) -> Outcome:
        if spec.family != "both":
            return await self._one(spec, timeout_s)
        # At once, so that each family has the whole time, and each for itself, so that neither hides the other.
        async with asyncio.TaskGroup() as group:
            four = group.create_task(self._one(replace(spec, family="4"), timeout_s))
            six = group.create_task(self._one(replace(spec, family="6"), timeout_s))
        return joined(four.result(), six.result())

    async def _one(self, spec: PortSpec, timeout_s: float) -> Outcome:
        begun_at = time.monotonic()
        stalled_s = self._meter.stalled_s
        # The caller's own deadline follows a moment later: a cancelled probe could not say what it saw.
        deadline = begun_at + timeout_s - min(0.1, timeout_s / 20)
        seen = await self._visitor.visit(spec, deadline)
        verdict = seen.verdict
        if verdict.status is Status.UP and seen.concern is not None:
            verdict = seen.concern
        if seen.timed_out and self._meter.stalled_s - stalled_s > max(timeout_s * _STALLED_SHARE, _STALLED_S):
            verdict = Fault(Status.UNKNOWN, Reason.LATE_LOOP, "This prober was too busy to tell if the target was.")
        return Outcome(
            status=verdict.status,
            reason=verdict.reason,
            detail=verdict.detail,
            samples=self._samples(seen, time.monotonic() - begun_at),
            hops=[seen.hop()],
        )

    def _samples(self, seen: Visit, total_s: float) -> dict[str, float]:
        samples = seen.phases | seen.samples
        samples["total_s"] = total_s
        if seen.peer.leaf is not None:
            samples["tls_expires_in_s"] = seen.peer.leaf.expires_at.timestamp() - self._clock()
        if seen.peer.chain_expires_at is not None:
            samples["tls_chain_expires_in_s"] = seen.peer.chain_expires_at.timestamp() - self._clock()
        return samples
