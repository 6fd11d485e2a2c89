"""The one way in which tests run the http probe."""

from pathlib import Path

from libs.model.outcome import Outcome
from services.http.probe import HttpProbe
from services.http.spec import HttpSpec


async def check_probe(
    spec: HttpSpec, *, timeout_s: float = 5.0, ca_file: Path | None = None, nameservers: tuple[str, ...] = ()
) -> Outcome:
    """Returns what a new probe says about `spec`."""
    async with HttpProbe(nameservers=nameservers, ca_file=ca_file) as probe:
        return await probe(spec, timeout_s)
