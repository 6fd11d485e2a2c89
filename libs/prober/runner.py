"""One check under its deadline: from Check to Result, whatever the probe does."""

import asyncio
import socket
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import structlog

from libs.model.check import Check, Result
from libs.model.outcome import Outcome
from libs.model.probe import Probe
from libs.model.spec import Spec
from libs.net.stall import StallMeter
from libs.prober import verdict
from libs.prober.meters import Meters

log = structlog.get_logger("vedette.prober")


class Runner:
    """Runs checks with one probe."""

    def __init__(self, probe: Probe[Any], clock: Callable[[], datetime], meters: Meters, stalls: StallMeter) -> None:
        self._probe = probe
        self._clock = clock
        self._meters = meters
        self._stalls = stalls
        self._name = socket.gethostname()

    async def run(self, check: Check, spec: Spec | Outcome) -> Result:
        """Returns the result, of the outcome itself where there is no spec to probe; only cancellation is raised."""
        wait_s = verdict.wait_s(check, self._clock())
        if wait_s > 0:
            await asyncio.sleep(min(wait_s, verdict.SPREAD_S))
        started_at = self._clock()
        if verdict.is_too_late(check, started_at):
            return verdict.stamped(check, verdict.too_late(check, started_at), started_at, 0.0, self._name)
        self._meters.lateness.observe(verdict.lateness_s(check, started_at))
        start = time.monotonic()
        outcome = spec if isinstance(spec, Outcome) else verdict.kept(check, spec, await self._outcome(check, spec))
        return verdict.stamped(check, outcome, started_at, time.monotonic() - start, self._name)

    async def _outcome(self, check: Check, spec: Spec) -> Outcome:
        deadline = asyncio.timeout(check.timeout_s + verdict.OVERDUE_S)
        stalled_s = self._stalls.stalled_s
        try:
            async with deadline:
                return await self._probe(spec, check.timeout_s)
        except Exception as error:  # a bug of the probe ends here, logged once
            if deadline.expired() and isinstance(error, TimeoutError):
                return self._overdue(check, self._stalls.stalled_s - stalled_s)
            log.exception("check.crashed", monitor=check.monitor_id, kind=check.kind, origin=check.origin)
            return verdict.crashed(error)

    def _overdue(self, check: Check, stalled_s: float) -> Outcome:
        outcome = verdict.overdue(check.timeout_s, stalled_s)
        log.error("check.overdue", monitor=check.monitor_id, kind=check.kind, reason=outcome.reason)
        return outcome
