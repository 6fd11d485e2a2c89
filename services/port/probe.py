"""Kind `port`: connects, runs the protocol of the service, and returns the outcome."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from libs.model.outcome import Outcome, Status
from libs.model.probe import time_budget_s
from libs.net.address_families import probe_families
from libs.net.egress import EgressPolicy
from libs.net.resolver import Resolver
from libs.net.stall import TOO_BUSY, StallMeter
from libs.net.tls.sessions import TlsContexts
from services.port.connection import PortConnection, PortConnectionRunner
from services.port.spec import PortSpec


class PortProbe:
    """The probe of kind port: one resolver and one set of root certificates, a new connection for every check."""

    def __init__(
        self,
        nameservers: Sequence[str] = (),
        ca_file: Path | None = None,
        clock: Callable[[], float] = time.time,
        *,
        egress: EgressPolicy | None = None,
    ) -> None:
        self._clock = clock
        self._nameservers = nameservers
        self._ca_file = ca_file
        self._egress = egress or EgressPolicy()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        resolver = await self._stack.enter_async_context(Resolver(self._nameservers))
        self._stall_meter = await self._stack.enter_async_context(StallMeter(loop))
        self._connection_runner = PortConnectionRunner(
            loop, resolver, TlsContexts(self._ca_file), self._egress, self._clock
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def __call__(self, spec: PortSpec, timeout_s: float) -> Outcome:
        return await probe_families(spec, spec.family, lambda each: self._probe_family(each, timeout_s))

    async def _probe_family(self, spec: PortSpec, timeout_s: float) -> Outcome:
        begun_at = time.monotonic()
        stalled_s = self._stall_meter.stalled_s
        deadline = begun_at + time_budget_s(timeout_s)
        seen = await self._connection_runner.run(spec, deadline)
        verdict = seen.verdict
        if verdict.status is Status.UP and seen.warning is not None:
            verdict = seen.warning
        if seen.timed_out and self._stall_meter.invalidates_timeout(timeout_s, stalled_s):
            verdict = TOO_BUSY
        return Outcome(
            status=verdict.status,
            reason=verdict.reason,
            detail=verdict.detail,
            samples=self._samples(seen, time.monotonic() - begun_at),
            hops=[seen.to_hop()],
        )

    def _samples(self, seen: PortConnection, total_s: float) -> dict[str, float]:
        samples = seen.phases | seen.samples
        samples["total_s"] = total_s
        if seen.peer.leaf is not None:
            samples["tls_expires_in_s"] = seen.peer.leaf.expires_at.timestamp() - self._clock()
        if seen.peer.chain_expires_at is not None:
            samples["tls_chain_expires_in_s"] = seen.peer.chain_expires_at.timestamp() - self._clock()
        return samples
