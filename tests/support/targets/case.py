"""One target and the verdict that it must get."""

from dataclasses import dataclass, field
from typing import Any

from libs.model.fields.tls import TlsReason
from libs.model.outcome import Reason, Status
from services.http.spec import HttpReason
from tests.support.targets.web import Handler

UP, DOWN = Status.UP, Status.DOWN


@dataclass(frozen=True)
class Case:
    """One target and its verdict. `server` names a certificate of the `servers` below, or "" for plain HTTP."""

    name: str
    handler: Handler
    reason: Reason | TlsReason | HttpReason = Reason.OK
    options: dict[str, Any] = field(default_factory=dict)
    path: str = "/"
    server: str = ""
    scheme: str = ""
    timeout_s: float = 5.0
    status: Status | None = None

    @property
    def expected(self) -> tuple[Status, str]:
        return self.status or (UP if self.reason == Reason.OK else DOWN), self.reason
