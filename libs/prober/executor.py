"""Execution of one check under its deadline: from Check to Result, whatever the probe raises."""

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
from libs.prober import own_outcomes
from libs.prober.prober_metrics import ProberMetrics

log = structlog.get_logger("vedette.prober")


class CheckExecutor:
    """Runs checks with one probe."""

    def __init__(
        self, probe: Probe[Any], clock: Callable[[], datetime], meters: ProberMetrics, stalls: StallMeter
    ) -> None:
        self._probe = probe
        self._clock = clock
        self._metrics = meters
        self._stalls = stalls
        self._prober_name = socket.gethostname()

    async def run(self, check: Check, spec: Spec | Outcome) -> Result:
        """Probes and returns the result. Raises nothing but CancelledError.

        If `spec` is an Outcome, because its secrets could not be opened, that is the result and nothing is probed.
        """
        wait_s = own_outcomes.start_delay_s(check, self._clock())
        if wait_s > 0:
            await asyncio.sleep(min(wait_s, own_outcomes.SPREAD_S))
        started_at = self._clock()
        if own_outcomes.is_too_late(check, started_at):
            return own_outcomes.to_result(
                check, own_outcomes.late_outcome(check, started_at), started_at, 0.0, self._prober_name
            )
        self._metrics.lateness.observe(own_outcomes.lateness_s(check, started_at))
        start = time.monotonic()
        outcome = (
            spec
            if isinstance(spec, Outcome)
            else own_outcomes.without_static_facts(check, spec, await self._probe_outcome(check, spec))
        )
        return own_outcomes.to_result(check, outcome, started_at, time.monotonic() - start, self._prober_name)

    async def _probe_outcome(self, check: Check, spec: Spec) -> Outcome:
        deadline = asyncio.timeout(check.timeout_s + own_outcomes.OVERDUE_S)
        stalled_s = self._stalls.stalled_s
        try:
            async with deadline:
                return await self._probe(spec, check.timeout_s)
        except Exception as error:  # a bug in the probe: logged once, and reported as `unknown`
            if deadline.expired() and isinstance(error, TimeoutError):
                return self._overdue(check, self._stalls.stalled_s - stalled_s)
            log.exception("check.crashed", monitor=check.monitor_id, kind=check.kind, origin=check.origin)
            return own_outcomes.crash_outcome(error)

    def _overdue(self, check: Check, stalled_s: float) -> Outcome:
        outcome = own_outcomes.overdue_outcome(check.timeout_s, stalled_s)
        log.error("check.overdue", monitor=check.monitor_id, kind=check.kind, reason=outcome.reason)
        return outcome
