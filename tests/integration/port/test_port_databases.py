"""The conversations with databases and caches, against the daemons of Debian."""

from collections.abc import Iterator

import pytest

from libs.model.outcome import Reason, Status
from services.port.spec import PortReason
from tests.support.daemons import databases
from tests.support.daemons.checking import check, check_often, facts, from_elsewhere, spec, told
from tests.support.daemons.daemon import Daemon
from tests.support.servers import PostgresServer
from tests.support.targets.talkers import probed

UP = (Status.UP, Reason.OK)


@pytest.fixture(scope="module")
def mariadb() -> Iterator[databases.MariaDb]:
    """A MariaDB that does not ask for the names of addresses, and so counts nobody."""
    with databases.mariadb("--skip-name-resolve", "--max-connect-errors=3") as daemon:
        yield daemon


@pytest.fixture(scope="module")
def postgresql() -> Iterator[Daemon]:
    with databases.postgresql(tls=True) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def redis() -> Iterator[Daemon]:
    with databases.redis() as daemon:
        yield daemon


@pytest.mark.parametrize("name", ["mysql", "mariadb"])
async def test_mariadb_shows_its_version_and_its_certificate(mariadb: databases.MariaDb, name: str):
    outcome = await check(mariadb, name)
    assert told(outcome) == UP
    assert "MariaDB" in str(facts(outcome)["software"])
    assert (facts(outcome)["protocol_version"], facts(outcome)["tls_subject"]) == ("10", "localhost")


async def test_mariadb_is_left_in_the_clear_if_that_is_wanted(mariadb: databases.MariaDb):
    outcome = await check(mariadb, "mysql", starttls="never")
    assert told(outcome) == UP
    assert facts(outcome)["tls_offered"] is True
    assert "tls_version" not in facts(outcome)


async def test_two_hundred_checks_do_not_get_us_blocked(mariadb: databases.MariaDb):
    before = mariadb.ask("SHOW GLOBAL STATUS LIKE 'Aborted_connects'")
    mariadb.ask("CREATE USER IF NOT EXISTS somebody@'%'")
    with from_elsewhere(mariadb.port) as port:
        said = await check_often(mariadb, spec(mariadb, "mysql", port), times=200)
    after = mariadb.ask("SHOW GLOBAL STATUS LIKE 'Aborted_connects'")
    assert said == {UP}
    # The protocol knows no goodbye before a login: this is what a check leaves, and all of it.
    assert int(after.split()[1]) - int(before.split()[1]) == 200
    assert {line.rpartition("(")[2] for line in mariadb.complaints()} == {
        "This connection closed normally without authentication)"
    }


async def test_mariadb_that_does_not_want_our_address_refuses():
    with databases.mariadb("--skip-name-resolve", tls=False) as daemon:
        assert told(await check(daemon, "mysql")) == UP
        with from_elsewhere(daemon.port) as port:
            outcome = await check(daemon, "mysql", port)
    assert told(outcome) == (Status.DEGRADED, PortReason.REFUSING)
    assert "127.0.0.2" in outcome.detail


async def test_postgresql_goes_over_to_tls_and_writes_nothing_down(postgresql: Daemon):
    outcome = await check(postgresql, "postgresql")
    assert (told(outcome), facts(outcome)["tls_subject"]) == (UP, "localhost")
    assert await check_often(postgresql, spec(postgresql, "postgresql")) == {UP}
    assert postgresql.complaints() == []


async def test_postgresql_without_tls_is_up(postgres_server: PostgresServer):
    outcome = await probed(postgres_server.port, service="postgresql")
    assert told(outcome) == UP
    assert facts(outcome)["tls_offered"] is False


async def test_postgresql_without_tls_where_it_is_required_is_down(postgres_server: PostgresServer):
    outcome = await probed(postgres_server.port, service="postgresql", starttls="require")
    assert told(outcome) == (Status.DOWN, PortReason.STARTTLS_MISSING)


async def test_redis_answers_in_the_clear_and_inside_tls(redis: Daemon):
    specs = (spec(redis, "redis"), spec(redis, "rediss", redis.tls_port))
    assert await check_often(redis, *specs) == {UP}
    assert redis.complaints() == []


async def test_redis_that_wants_a_login_is_up():
    with databases.redis("--requirepass", "something") as daemon:
        outcome = await check(daemon, "redis")
    assert told(outcome) == UP
    assert facts(outcome)["login_required"] is True


async def test_redis_that_has_no_room_refuses():
    with databases.redis("--maxclients", "1") as daemon, databases.redis_client(daemon):
        assert told(await check(daemon, "redis")) == (Status.DEGRADED, PortReason.REFUSING)


async def test_memcached_tells_its_version_and_has_nothing_against_us():
    with databases.memcached() as daemon:
        assert await check_often(daemon, spec(daemon, "memcached")) == {UP}
        assert daemon.complaints() == []
        assert str(facts(await check(daemon, "memcached"))["software"])[0].isdigit()


async def test_memcached_that_wants_a_login_is_up():
    with databases.memcached(locked=True) as daemon:
        outcome = await check(daemon, "memcached")
    assert told(outcome) == UP
    assert facts(outcome)["login_required"] is True
