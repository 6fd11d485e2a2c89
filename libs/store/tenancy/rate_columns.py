"""Mapping of a rate to the columns `requests_per_s` and `requests_burst`; NULL in both means the default."""

from libs.model.tenancy import Rate


def to_columns(rate: Rate | None) -> tuple[float | None, int | None]:
    return (None, None) if rate is None else (rate.per_s, rate.burst)


def from_columns(per_s: float | None, burst: int | None) -> Rate | None:
    return None if per_s is None or burst is None else Rate(per_s=per_s, burst=burst)
