"""A second tenant in a house that is sent thousands of requests: nothing of it may be seen or changed."""

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
def second_tenant(home: RunningGateway) -> Iterator[Callable[[object], None]]:
    """Gives what checks that an answer shows nothing of a tenant beside; in the end, that all it has is still there."""
    secret = asyncio.run(add_tenant(home.context.settings.postgres_dsn, MARKER, DAY_S))
    beside = asyncio.run(_create_tenant(home, secret))
    before = asyncio.run(_snapshot(beside, secret))
    assert MARKER in str(before)
    yield beside.check_no_leak
    assert asyncio.run(_snapshot(beside, secret)) == before


async def _create_tenant(home: RunningGateway, secret: str) -> TwoTenants:
    async with home.api(secret) as api:
        return TwoTenants(home, api, {**await create_objects(api), **_NONE, "to": datetime.now(UTC).isoformat()}, {})


async def _snapshot(beside: TwoTenants, secret: str) -> dict[str, str]:
    async with beside.home.api(secret) as api:
        return await TwoTenants(beside.home, api, beside.ids, {}).snapshot()
