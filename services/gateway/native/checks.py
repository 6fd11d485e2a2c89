"""/checks: look now, through the same bus and the same probers as every scheduled check."""

from datetime import datetime

import msgspec
from litestar import post
from litestar.di import NamedDependency
from litestar.exceptions import HTTPException
from litestar.params import JSONBody
from msgspec import UNSET

from libs.bus.schedules import due_now
from libs.model import interval
from libs.model.check import Check, Origin, Result
from libs.model.monitor import DEFAULT_LOCATION, MonitorView
from libs.model.outcome import Hop, Status
from libs.model.refusal import RefusalCode, RefusedError
from libs.model.requests import GetMonitor
from libs.model.tenancy import Principal, Scope
from services.gateway.adhoc import adhoc
from services.gateway.auth import needs
from services.gateway.means import Means
from services.gateway.native import query
from services.gateway.native.shapes import DEFAULT_TIMEOUT_S, CheckCreate
from services.gateway.specs import Specs

TAGS = ["checks"]
SLACK_S = 2.0  # on top of the check's own timeout: the way through the bus and back

_read_result = msgspec.json.Decoder(Result).decode


class CheckView(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a check that was asked for. `monitor_id` is null for a check of a spec."""

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
    guards=[needs(Scope.WRITE)],
    tags=TAGS,
    summary="Check a spec or a monitor now, and wait",
)
async def check_now(
    data: JSONBody[CheckCreate], means: NamedDependency[Means], principal: NamedDependency[Principal]
) -> CheckView:
    now = means.clock()
    if data.monitor_id is UNSET:
        check = _of_spec(data, means.specs(principal.tenant_id), now)
    else:
        monitor_id = query.existing_id(data.monitor_id, "monitor")
        view = await means.bus.ask(GetMonitor(tenant_id=principal.tenant_id, monitor_id=monitor_id, sealed=True))
        check = _of_monitor(data, view, principal.tenant_id, now)
    shard = interval.shard(check.monitor_id, means.shards)
    reply = await means.bus.await_reply(due_now(check, shard), check.timeout_s + SLACK_S)
    if reply is None:
        detail = f"No prober of kind {check.kind!r} in location {check.location!r} answered. Is one running there?"
        raise HTTPException(detail=detail, status_code=504)
    return _view(_read_result(reply), None if data.monitor_id is UNSET else data.monitor_id)


def _of_spec(data: CheckCreate, specs: Specs, now: datetime) -> Check:
    assert data.spec is not UNSET  # noqa: S101 - the shape takes exactly one of the two
    taken = specs.new(data.spec)
    timeout_s = DEFAULT_TIMEOUT_S if data.timeout_s is UNSET else data.timeout_s
    location = DEFAULT_LOCATION if data.location is UNSET else data.location
    return adhoc(taken, specs.tenant_id, now, timeout_s=timeout_s, location=location)


def _of_monitor(data: CheckCreate, view: MonitorView, tenant_id: str, now: datetime) -> Check:
    location = view.locations[0] if data.location is UNSET else data.location
    if location not in view.locations:
        raise RefusedError(RefusalCode.INVALID, f"must be one of {', '.join(view.locations)}", "location")
    return Check(
        monitor_id=view.id,
        tenant_id=tenant_id,
        location=location,
        kind=view.kind,
        revision=view.revision,
        interval_s=view.interval_s,
        timeout_s=view.timeout_s if data.timeout_s is UNSET else data.timeout_s,
        spec=view.spec,
        # A look at a paused monitor must not move its state, so it is only answered.
        origin=Origin.MANUAL if view.enabled else Origin.ADHOC,
        tick_at=now,
    )


def _view(result: Result, monitor_id: str | None) -> CheckView:
    shown = {name: getattr(result, name) for name in CheckView.__struct_fields__ if name != "monitor_id"}
    return CheckView(monitor_id=monitor_id, **shown)


HANDLERS = [check_now]
