"""The place of kind `dnsbl`'s I/O. There is none yet: it opens nothing, sends nothing, and says so."""

from types import TracebackType
from typing import Self

from libs.model.outcome import Outcome, Status
from services.dnsbl.spec import DnsblReason, DnsblSpec


class DnsblProbe:
    """The probe of kind dnsbl until blacklists are asked: every outcome is `unknown`, which judges nothing."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Has nothing to close."""

    async def __call__(self, spec: DnsblSpec, timeout_s: float) -> Outcome:
        """Answers at once: `unknown`, neither listed nor clean."""
        del spec, timeout_s
        detail = "DNS blacklists are not asked in this version yet."
        return Outcome(status=Status.UNKNOWN, reason=DnsblReason.NOT_ASKED_YET, detail=detail)
