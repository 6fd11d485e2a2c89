"""Monitors: as created, as changed, and as returned by the API."""

from datetime import datetime

import msgspec

from libs.model.check import Origin
from libs.model.outcome import Hop, Status
from libs.model.spec import SecretPath
from libs.model.state import State

DEFAULT_LOCATION = "local"


class MonitorDraft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A monitor as a client asks for it, already checked by the gateway. `spec` is the encoded spec of its kind."""

    name: str
    kind: str
    target: str
    interval_s: int
    timeout_s: float
    spec: msgspec.Raw
    locations: list[str] = msgspec.field(default_factory=lambda: [DEFAULT_LOCATION])
    enabled: bool = True
    labels: dict[str, str] = {}


class MonitorChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The fields of a monitor that a PATCH names; the others stay. `kind` and `target` come with `spec`.

    At the paths in `kept` (libs.model.spec.SecretPath) `spec` has no secret: what is stored there stays, if it was
    sealed for `recipient`.
    """

    name: str | msgspec.UnsetType = msgspec.UNSET
    interval_s: int | msgspec.UnsetType = msgspec.UNSET
    timeout_s: float | msgspec.UnsetType = msgspec.UNSET
    spec: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    kind: str | msgspec.UnsetType = msgspec.UNSET
    target: str | msgspec.UnsetType = msgspec.UNSET
    locations: list[str] | msgspec.UnsetType = msgspec.UNSET
    enabled: bool | msgspec.UnsetType = msgspec.UNSET
    labels: dict[str, str] | msgspec.UnsetType = msgspec.UNSET
    kept: list[SecretPath] = []
    recipient: str = ""


class ResultView(msgspec.Struct, frozen=True, kw_only=True):
    """One stored result as the API shows it."""

    tick_at: datetime
    location: str
    origin: Origin
    status: Status
    reason: str
    detail: str
    started_at: datetime
    duration_s: float
    revision: int
    samples: dict[str, float] = {}
    hops: list[Hop] = []


class MonitorView(msgspec.Struct, frozen=True, kw_only=True):
    """One monitor as the API shows it, with its state and its last result."""

    id: str
    name: str
    kind: str
    target: str
    interval_s: int
    timeout_s: float
    locations: list[str]
    enabled: bool
    labels: dict[str, str]
    spec: msgspec.Raw
    revision: int
    created_at: datetime
    updated_at: datetime
    state: State
    last_result: ResultView | None = None


class UptimeView(msgspec.Struct, frozen=True, kw_only=True):
    """How the time of a monitor was spent between `from_at` and `to_at`, in seconds and as a share.

    `uptime` is (up + degraded) / (up + degraded + down): None when nothing was judged. Unknown and missed time is
    stated apart and is never uptime; `unwatched_s` is time for which no check was due (paused, or not yet created).
    """

    from_at: datetime
    to_at: datetime
    uptime: float | None
    up_s: float
    degraded_s: float
    down_s: float
    unknown_s: float
    missed_s: float
    unwatched_s: float
