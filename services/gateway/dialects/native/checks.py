"""Route /checks: runs a check on demand, on the same bus and probers as scheduled checks."""

from datetime import datetime

import msgspec
from litestar import post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException
from litestar.params import JSONBody
from msgspec import UNSET

from libs.model.check import Check, Origin, Result
from libs.model.monitor import DEFAULT_LOCATION
from libs.model.outcome import Hop, Status
from libs.model.requests.errors import ErrorCode, RequestError
from libs.model.requests.messages import GetMonitor
from libs.model.tenancy import Scope
from services.gateway.access.authenticator import requires_scope
from services.gateway.dialects.native import parameters
from services.gateway.dialects.native.schemas import DEFAULT_TIMEOUT_S, CheckCreate
from services.gateway.session import TenantSession

TAGS = ["Checks"]
ROUND_TRIP_S = 2.0  # on top of the check's own timeout, for the round trip on the bus


class CheckView(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a check on demand. `monitor_id` is null for a check of a spec."""

    monitor_id: str | None
    kind: str
    location: str
    origin: Origin
    tick_at: datetime
    started_at: datetime
    duration_s: float
    status: Status
    reason: str
    detail: str
    samples: dict[str, float]
    hops: list[Hop]
    prober: str


@post(
    "/checks",
    status_code=200,
    guards=[requires_scope(Scope.WRITE)],
    tags=TAGS,
    summary="Run a check of a spec or a monitor now and return its result",
)
async def check_now(data: JSONBody[CheckCreate], session: NamedDependency[TenantSession]) -> CheckView:
    check = (
        _check_from_spec(data, session)
        if data.monitor_id is UNSET
        else await _check_from_monitor(data, data.monitor_id, session)
    )
    result = await session.run_check(check, check.timeout_s + ROUND_TRIP_S)
    if result is None:
        detail = (
            f"No prober of kind {check.kind!r} in location {check.location!r} returned a result. Is one running there?"
        )
        raise HTTPException(detail=detail, status_code=504)
    return _to_view(result, None if data.monitor_id is UNSET else data.monitor_id)


def _check_from_spec(data: CheckCreate, session: TenantSession) -> Check:
    assert data.spec is not UNSET  # noqa: S101 - the shape takes exactly one of the two
    timeout_s = DEFAULT_TIMEOUT_S if data.timeout_s is UNSET else data.timeout_s
    location = DEFAULT_LOCATION if data.location is UNSET else data.location
    return session.check_from_spec(session.spec_intake.accept(data.spec), timeout_s=timeout_s, location=location)


async def _check_from_monitor(data: CheckCreate, monitor_id: str, session: TenantSession) -> Check:
    view = await session.request(GetMonitor(monitor_id=parameters.require_id(monitor_id, "monitor"), sealed=True))
    location = view.locations[0] if data.location is UNSET else data.location
    if location not in view.locations:
        raise RequestError(ErrorCode.INVALID, f"must be one of {', '.join(view.locations)}", "location")
    timeout_s = view.timeout_s if data.timeout_s is UNSET else data.timeout_s
    return session.check_from_monitor(view, timeout_s=timeout_s, location=location)


def _to_view(result: Result, monitor_id: str | None) -> CheckView:
    shown = {name: getattr(result, name) for name in CheckView.__struct_fields__ if name != "monitor_id"}
    return CheckView(monitor_id=monitor_id, **shown)


HANDLERS = [check_now]
