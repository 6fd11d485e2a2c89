"""Validation of the fields of tenants and keys. Each refusal names the field and the allowed values."""

import unicodedata
from collections.abc import Sequence

from libs.model.fields.validation import CIDRS_MAX, NAME_LENGTH_MAX, RATE_MAX
from libs.model.requests.errors import ErrorCode, RequestError
from libs.model.tenancy import Rate

MONITORS_MAX_MAX = 10_000_000
INTERVAL_S_MIN_MAX = 86_400
# Smaller rates underflow in the arithmetic of the database, which then fails.
RATE_MIN = 1e-6
CIDR_LENGTH_MAX = 50


def check_tenant(name: str, rate: Rate | None, monitors_max: int | None, interval_s_min: int | None) -> None:
    """Validates the fields of a tenant. None means the default of the settings, 0 means no limit."""
    check_name(name, "name")
    check_rate(rate)
    _check_number(monitors_max, "monitors_max", MONITORS_MAX_MAX)
    _check_number(interval_s_min, "interval_s_min", INTERVAL_S_MIN_MAX)


def check_key(name: str, cidrs: Sequence[str], rate: Rate | None) -> None:
    """Validates the fields of a key. The length of a network is bounded, as leading zeros are not."""
    check_name(name, "name")
    check_rate(rate)
    if len(cidrs) > CIDRS_MAX:
        raise _invalid("cidrs", f"must be at most {CIDRS_MAX}")
    for index, cidr in enumerate(cidrs):
        if len(cidr) > CIDR_LENGTH_MAX:
            raise _invalid(f"cidrs[{index}]", f"must have at most {CIDR_LENGTH_MAX} characters")


def check_name(name: str, field: str) -> None:
    """Raises RequestError for a name that is blank, too long, or contains control characters."""
    if not 1 <= len(name) <= NAME_LENGTH_MAX:
        raise _invalid(field, f"must have 1 to {NAME_LENGTH_MAX} characters")
    if not name.strip() or any(unicodedata.category(each) in {"Cc", "Cs", "Zl", "Zp"} for each in name):
        raise _invalid(field, "must not be blank or contain control characters")


def check_rate(rate: Rate | None) -> None:
    """Raises RequestError for a rate that could never grant a token; 0 per second means no limit."""
    if rate is None:
        return
    if rate.per_s != 0 and not RATE_MIN <= rate.per_s <= RATE_MAX:
        raise _invalid("rate.per_s", f"must be from {RATE_MIN:.6f} to {RATE_MAX}, or 0 for no limit")
    if not (1 if rate.per_s else 0) <= rate.burst <= RATE_MAX:
        raise _invalid("rate.burst", f"must be from 1 to {RATE_MAX}")


def _check_number(value: int | None, field: str, most: int) -> None:
    if value is not None and not 0 <= value <= most:
        raise _invalid(field, f"must be from 0 to {most} (0 for no limit)")


def _invalid(field: str, detail: str) -> RequestError:
    return RequestError(ErrorCode.INVALID, detail, field)
