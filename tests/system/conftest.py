"""One cluster under load, shared by the tests of faults that it has to survive."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from tests.support.client import Api
from tests.support.cluster import NO_LIMIT, running_cluster
from tests.support.oracle import Database
from tests.system.site import Site


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """200 monitors at 10 s, half of them on a target that tests may stop. Nothing is reset between tests."""
    with running_cluster(**NO_LIMIT) as cluster:
        site = Site(cluster)
        with site.targets():
            asyncio.run(site.fill())
            yield site


@pytest.fixture
async def database(site: Site) -> AsyncIterator[Database]:
    """A pool: it heals when PostgreSQL was killed meanwhile."""
    async with asyncpg.create_pool(site.cluster.dsn, min_size=1, max_size=2) as pool:
        yield pool


@pytest.fixture
async def api(site: Site) -> AsyncIterator[Api]:
    async with Api(site.cluster.api_port, site.cluster.key) as api:
        yield api
