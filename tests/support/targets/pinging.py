"""The one way in which tests run the ping probe."""

from typing import Any

from libs.model.outcome import Outcome, Reason, Status
from libs.net.egress import EgressPolicy
from services.ping.probe import PingProbe
from services.ping.spec import PingSpec


async def pinged(host: str, *, timeout_s: float = 5.0, egress: EgressPolicy | None = None, **options: Any) -> Outcome:
    """Returns what a new probe says about `host`; asks again when this machine was too busy to tell.

    Packets follow each other fast, unless told otherwise.
    """
    outcome = await pinged_once(host, timeout_s=timeout_s, egress=egress, **options)
    for _ in range(4):
        if outcome.reason != Reason.LATE_LOOP:
            break
        outcome = await pinged_once(host, timeout_s=timeout_s, egress=egress, **options)
    return outcome


async def pinged_once(
    host: str, *, timeout_s: float = 5.0, egress: EgressPolicy | None = None, **options: Any
) -> Outcome:
    """Returns what a new probe says about `host`, as `pinged` does, were it that this machine was too busy."""
    spec = PingSpec(host=host, **({"packet_interval_s": 0.01} | options))
    async with PingProbe(egress=egress) as probe:
        return await probe(spec, timeout_s)


def verdict(outcome: Outcome) -> tuple[Status, str]:
    return outcome.status, outcome.reason
