"""A check of a spec that belongs to no monitor: answered to whoever asks, and never stored."""

from datetime import datetime

from libs.model import interval
from libs.model.check import Check, Origin
from libs.model.ids import new_id
from libs.model.monitor import DEFAULT_LOCATION
from services.gateway.specs import Taken


def adhoc(taken: Taken, tenant_id: str, now: datetime, *, timeout_s: float, location: str = DEFAULT_LOCATION) -> Check:
    """Returns the check to run at once."""
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
