import contextlib
from collections.abc import AsyncIterator

import pytest

from libs.process.service import Context, Running, Service, in_order


@contextlib.asynccontextmanager
async def nothing(_context: Context) -> AsyncIterator[Running]:
    yield Running()


def named(name: str, *needs: str) -> Service:
    return Service(name, nothing, needs)


def test_services_come_after_those_that_they_need_otherwise_by_name():
    services = (named("http", "results"), named("gateway", "results"), named("results"), named("alpha"))
    assert [service.name for service in in_order(services)] == ["alpha", "results", "gateway", "http"]


def test_a_needed_service_may_live_in_another_process():
    assert [service.name for service in in_order((named("http", "results"),))] == ["http"]


def test_services_that_need_each_other_are_refused():
    with pytest.raises(ValueError, match="need each other: a, b"):
        in_order((named("a", "b"), named("b", "a")))
