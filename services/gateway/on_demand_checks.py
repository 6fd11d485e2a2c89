"""Checks on demand, of a spec or of a monitor."""

from datetime import datetime

from libs.model import interval
from libs.model.check import Check, Origin
from libs.model.ids import new_id
from libs.model.monitor import MonitorView
from services.gateway.spec_intake import AcceptedSpec


def check_from_spec(taken: AcceptedSpec, tenant_id: str, now: datetime, *, timeout_s: float, location: str) -> Check:
    """Returns a check of a spec without a monitor. Its result is sent to the requester and not stored."""
    return Check(
        monitor_id=new_id(),
        tenant_id=tenant_id,
        location=location,
        kind=taken.kind,
        revision=0,
        interval_s=interval.MINUTE_S,
        timeout_s=timeout_s,
        spec=taken.raw,
        origin=Origin.ADHOC,
        tick_at=now,
    )


def check_from_monitor(view: MonitorView, tenant_id: str, now: datetime, *, timeout_s: float, location: str) -> Check:
    """Returns a check of a monitor, whose spec contains its sealed values. The result is stored if it is enabled."""
    return Check(
        monitor_id=view.id,
        tenant_id=tenant_id,
        location=location,
        kind=view.kind,
        revision=view.revision,
        interval_s=view.interval_s,
        timeout_s=timeout_s,
        spec=view.spec,
        # A check of a paused monitor must not change its state, so its result is not stored.
        origin=Origin.MANUAL if view.enabled else Origin.ADHOC,
        tick_at=now,
    )
