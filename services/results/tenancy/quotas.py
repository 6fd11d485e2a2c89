"""Quotas of tenants: defaults from the settings, overridden by the quota of the tenant (pure)."""

import msgspec

from libs.model.interval import INTERVALS_S
from libs.model.requests.errors import ErrorCode, RequestError
from libs.model.tenancy import Quota


class QuotaPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Settings for creating monitors: the number of shards of schedules, and the default quota."""

    shards: int
    quota: Quota = Quota()


def effective_quota(own: Quota, default: Quota) -> Quota:
    """Returns `own` with missing values from `default`. In both 0 means no limit; in the result None does."""
    return Quota(
        monitors_max=_own_or_default(own.monitors_max, default.monitors_max),
        interval_s_min=_own_or_default(own.interval_s_min, default.interval_s_min),
    )


def check_interval(interval_s: int, quota: Quota) -> None:
    """Raises RequestError if the interval is shorter than the effective quota allows."""
    if quota.interval_s_min is None or interval_s >= quota.interval_s_min:
        return
    least = allowed_interval_s(interval_s, quota)
    raise RequestError(
        ErrorCode.INVALID, f"must be at least {least}, the minimum interval of this tenant", "interval_s"
    )


def allowed_interval_s(wanted_s: int, quota: Quota) -> int:
    """Returns the shortest supported interval that is at least `wanted_s` and allowed by the effective quota."""
    least_s = max(wanted_s, quota.interval_s_min or 0)
    return next((each_s for each_s in INTERVALS_S if each_s >= least_s), INTERVALS_S[-1])


def check_count(monitors: int, quota: Quota) -> None:
    """Raises RequestError if `monitors`, the new one included, are more than the effective quota allows."""
    if quota.monitors_max is not None and monitors > quota.monitors_max:
        raise RequestError(ErrorCode.QUOTA, f"This tenant may have at most {quota.monitors_max} monitors.")


def _own_or_default(own: int | None, default: int | None) -> int | None:
    return (default if own is None else own) or None
