import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.model.interval import INTERVALS_S
from libs.model.requests.errors import ErrorCode, RequestError
from libs.model.tenancy import Quota
from services.results.tenancy.quotas import allowed_interval_s, check_count, check_interval, effective_quota

numbers = st.none() | st.integers(0, 86_400)
quotas = st.builds(Quota, monitors_max=numbers, interval_s_min=numbers)


@given(quotas, quotas)
def test_ones_own_value_counts_even_when_it_says_without_a_limit(own: Quota, default: Quota):
    found = effective_quota(own, default)
    for name in Quota.__struct_fields__:
        mine, theirs = getattr(own, name), getattr(default, name)
        assert getattr(found, name) == ((theirs if mine is None else mine) or None)


@given(quotas)
def test_what_is_effective_stays_so(own: Quota):
    assert effective_quota(effective_quota(own, Quota()), Quota()) == effective_quota(own, Quota())


@given(st.sampled_from(INTERVALS_S), st.integers(1, 86_400))
def test_an_interval_is_refused_with_the_least_that_is_not(interval_s: int, least: int):
    quota = Quota(interval_s_min=least)
    if interval_s >= least:
        check_interval(interval_s, quota)
        return
    with pytest.raises(RequestError) as caught:
        check_interval(interval_s, quota)
    refusal = caught.value.info
    assert (refusal.code, refusal.field) == (ErrorCode.INVALID, "interval_s")
    named = int(refusal.detail.split(",")[0].removeprefix("must be at least "))
    assert named == min(each for each in INTERVALS_S if each >= least)
    check_interval(named, quota)


@given(st.sampled_from([60, 3600]), st.none() | st.integers(1, 10**6))
def test_an_interval_is_one_of_ours_and_never_shorter_than_the_tenant_may(wanted_s: int, least_s: int | None):
    found = allowed_interval_s(wanted_s, Quota(interval_s_min=least_s))
    assert found in INTERVALS_S
    assert found >= wanted_s
    assert found >= min(least_s or 0, INTERVALS_S[-1])
    assert found == wanted_s or (least_s or 0) > wanted_s


@given(st.integers(0, 10), st.integers(0, 10))
def test_as_many_monitors_as_the_quota_are_allowed(monitors: int, most: int):
    if monitors <= most:
        check_count(monitors, Quota(monitors_max=most))
        return
    with pytest.raises(RequestError, match=f"at most {most} monitors") as caught:
        check_count(monitors, Quota(monitors_max=most))
    assert caught.value.info.code is ErrorCode.QUOTA


def test_without_a_limit_everything_is_allowed():
    check_interval(INTERVALS_S[0], Quota())
    check_count(10**9, Quota())
