"""A second tenant beside a fuzz test: its data must be neither visible nor changed."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from tests.integration.gateway.conftest import RunningGateway
from tests.integration.gateway.test_tenants import DAY_S, MARKER, TwoTenants, create_objects
from tests.support.tenants import add_tenant

# It has no results: those are of the tests about streams and pages.
_NONE = dict.fromkeys(("event", "results_cursor", "transitions_cursor"))


@contextmanager
def second_tenant(instance: RunningGateway) -> Iterator[Callable[[object], None]]:
    """Yields a check that a response contains no data of the second tenant; finally checks that its data is unchanged."""
    secret = asyncio.run(add_tenant(instance.context.settings.postgres_dsn, MARKER, DAY_S))
    beside = asyncio.run(_create_tenant(instance, secret))
    before = asyncio.run(_snapshot(beside, secret))
    assert MARKER in str(before)
    yield beside.check_no_leak
    assert asyncio.run(_snapshot(beside, secret)) == before


async def _create_tenant(instance: RunningGateway, secret: str) -> TwoTenants:
    async with instance.api(secret) as api:
        return TwoTenants(
            instance, api, {**await create_objects(api), **_NONE, "to": datetime.now(UTC).isoformat()}, {}
        )


async def _snapshot(beside: TwoTenants, secret: str) -> dict[str, str]:
    async with beside.instance.api(secret) as api:
        return await TwoTenants(beside.instance, api, beside.ids, {}).snapshot()
