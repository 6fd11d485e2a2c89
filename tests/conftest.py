"""Fixtures for all tests: real servers. Each pytest-xdist worker has its own."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support.servers import NatsServer, PostgresServer, running_nats, running_postgres

# How long an example takes says something about the machine, and is for benches to tell.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


@pytest.fixture
def nats_server() -> Iterator[NatsServer]:
    """A nats-server of this test alone, with an empty disk."""
    with running_nats() as server:
        yield server


@pytest.fixture
def nats_url(nats_server: NatsServer) -> str:
    return nats_server.url


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The PostgreSQL that all tests of one worker share. Take `own_postgres_server` to kill one."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def own_postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL of this test alone."""
    with running_postgres() as server:
        yield server


@pytest.fixture
def postgres_dsn(postgres_server: PostgresServer) -> Iterator[str]:
    """A new and empty database."""
    dsn = postgres_server.new_database()
    yield dsn
    postgres_server.drop_database(dsn)
