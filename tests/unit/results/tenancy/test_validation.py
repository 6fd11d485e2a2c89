import math

import pytest

from libs.model.requests.errors import ErrorCode, RequestError
from libs.model.tenancy import Rate
from services.results.tenancy import validation


@pytest.mark.parametrize("name", ["a", "Kovács és Társa Bt.", "日本", "x" * 200, "a\N{NO-BREAK SPACE}b", "👩‍🚀"])
def test_a_name_may_be_anything_that_people_write(name: str):
    validation.check_name(name, "name")


@pytest.mark.parametrize("name", ["", "x" * 201, " \t ", "a\nb", "a\0b", "a\u2028b", "\ud800"])
def test_a_name_that_nobody_could_read_is_refused(name: str):
    with pytest.raises(RequestError) as caught:
        validation.check_name(name, "tenant_name")
    assert (caught.value.info.code, caught.value.info.field) == (ErrorCode.INVALID, "tenant_name")


@pytest.mark.parametrize(
    "rate", [None, Rate(per_s=0, burst=0), Rate(per_s=1e-6, burst=1), Rate(per_s=1e6, burst=1_000_000)]
)
def test_a_rate_that_can_be_granted(rate: Rate | None):
    validation.check_rate(rate)


@pytest.mark.parametrize(
    ("per_s", "burst", "field"),
    [
        (-0.1, 1, "rate.per_s"),
        (math.nan, 1, "rate.per_s"),
        (math.inf, 1, "rate.per_s"),
        (1e7, 1, "rate.per_s"),
        (5e-324, 1, "rate.per_s"),
        (1.0, 0, "rate.burst"),
        (0.0, -1, "rate.burst"),
        (1.0, 2**40, "rate.burst"),
    ],
)
def test_a_rate_that_cannot_names_what_is_wrong(per_s: float, burst: int, field: str):
    with pytest.raises(RequestError) as caught:
        validation.check_rate(Rate(per_s=per_s, burst=burst))
    assert caught.value.info.field == field


@pytest.mark.parametrize(
    ("monitors_max", "interval_s_min", "field"), [(-1, None, "monitors_max"), (0, 10**6, "interval_s_min")]
)
def test_a_quota_out_of_range_is_refused(monitors_max: int, interval_s_min: int | None, field: str):
    with pytest.raises(RequestError) as caught:
        validation.check_tenant("a", None, monitors_max, interval_s_min)
    assert caught.value.info.field == field
