import contextlib
from collections.abc import AsyncIterator

import pytest

from libs.process.service import RunningService, Service, ServiceContext, start_order


@contextlib.asynccontextmanager
async def open_nothing(_context: ServiceContext) -> AsyncIterator[RunningService]:
    yield RunningService()


def service_named(name: str, *needs: str) -> Service:
    return Service(name, open_nothing, needs)


def test_services_are_sorted_after_those_they_need_otherwise_by_name():
    services = (
        service_named("http", "results"),
        service_named("gateway", "results"),
        service_named("results"),
        service_named("alpha"),
    )
    assert [service.name for service in start_order(services)] == ["alpha", "results", "gateway", "http"]


def test_a_needed_service_may_run_in_another_process():
    assert [service.name for service in start_order((service_named("http", "results"),))] == ["http"]


def test_a_cycle_of_needed_services_is_rejected():
    with pytest.raises(ValueError, match="need each other: a, b"):
        start_order((service_named("a", "b"), service_named("b", "a")))
