"""The one way in which tests run the http probe."""

from pathlib import Path

from libs.model.outcome import Outcome, Reason
from libs.net.egress import EgressPolicy
from services.http.probe import HttpProbe
from services.http.spec import HttpSpec


async def check_probe(
    spec: HttpSpec,
    *,
    timeout_s: float = 5.0,
    ca_file: Path | None = None,
    nameservers: tuple[str, ...] = (),
    egress: EgressPolicy | None = None,
) -> Outcome:
    """Returns what a new probe says about `spec`; asks again when this machine was too busy to tell."""
    async with HttpProbe(nameservers=nameservers, ca_file=ca_file, egress=egress) as probe:
        outcome = await probe(spec, timeout_s)
        for _ in range(4):
            if outcome.reason != Reason.LATE_LOOP:
                break
            outcome = await probe(spec, timeout_s)
        return outcome
