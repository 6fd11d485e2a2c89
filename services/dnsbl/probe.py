"""Probe of kind `dnsbl`. It performs no network I/O yet."""

from types import TracebackType
from typing import Self

from libs.model.outcome import Outcome, Status
from services.dnsbl.spec import DnsblReason, DnsblSpec


class DnsblProbe:
    """The probe of kind dnsbl until blacklists are queried: every outcome is `unknown`."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to close."""

    async def __call__(self, spec: DnsblSpec, timeout_s: float) -> Outcome:
        """Returns `unknown` at once: neither listed nor clean."""
        del spec, timeout_s
        detail = "This version does not query DNS blacklists yet."
        return Outcome(status=Status.UNKNOWN, reason=DnsblReason.NOT_ASKED_YET, detail=detail)
