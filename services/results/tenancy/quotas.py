"""On which terms tenants have monitors: what the settings say, and what a tenant's own quota makes of it."""

import msgspec

from libs.model.interval import INTERVALS_S
from libs.model.requests.errors import ErrorCode, RequestError
from libs.model.tenancy import Quota


class QuotaPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What the settings say: into how many shards schedules are split, and the quota of tenants without their own."""

    shards: int
    quota: Quota = Quota()


def effective_quota(own: Quota, default: Quota) -> Quota:
    """Returns what counts for a tenant with the quota `own`. In both, 0 means without a limit; in the reply None does."""
    return Quota(
        monitors_max=_own_or_default(own.monitors_max, default.monitors_max),
        interval_s_min=_own_or_default(own.interval_s_min, default.interval_s_min),
    )


def check_interval(interval_s: int, quota: Quota) -> None:
    """Refuses an interval that is shorter than an effective quota allows."""
    if quota.interval_s_min is None or interval_s >= quota.interval_s_min:
        return
    least = allowed_interval_s(interval_s, quota)
    raise RequestError(
        ErrorCode.INVALID, f"must be at least {least}, the least that this tenant may have", "interval_s"
    )


def allowed_interval_s(wanted_s: int, quota: Quota) -> int:
    """Returns the shortest interval from `wanted_s` on that an effective quota allows."""
    least_s = max(wanted_s, quota.interval_s_min or 0)
    return next((each_s for each_s in INTERVALS_S if each_s >= least_s), INTERVALS_S[-1])


def check_count(monitors: int, quota: Quota) -> None:
    """Refuses when a tenant that now has so many monitors has more than an effective quota allows."""
    if quota.monitors_max is not None and monitors > quota.monitors_max:
        raise RequestError(ErrorCode.QUOTA, f"This tenant may have at most {quota.monitors_max} monitors.")


def _own_or_default(own: int | None, default: int | None) -> int | None:
    return (default if own is None else own) or None
