import asyncio
import secrets
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import msgspec
import pytest

from libs.store.core.errors import (
    DuplicateError,
    InvalidValueError,
    RolledBackError,
    SchemaMismatchError,
    StoreError,
    UnavailableError,
)
from libs.store.core.pool import Store, open_store
from tests.support.ports import free_port
from tests.support.servers import PostgresServer
from tests.support.wait import eventually

PHASES = msgspec.Raw(b'{"resolve_s":1, "connect_s":2, "tls_s":3}')
AN_ID = "0190f5ac-7a3f-7c11-9b52-2a1d0c4e8f00"


@pytest.fixture
async def store(postgres_dsn: str) -> AsyncIterator[Store]:
    async with open_store(postgres_dsn, size_max=3) as store:
        async with store.connection() as db:
            await db.script(
                "CREATE TABLE things (id uuid PRIMARY KEY, at timestamptz, facts jsonb, name text, told json)"
            )
        yield store


async def test_values_go_in_and_come_out_as_our_types(store: Store) -> None:
    at = datetime(2026, 5, 1, 12, tzinfo=UTC)
    async with store.transaction() as db:
        await db.run(
            "INSERT INTO things VALUES ($1, $2, $3, $4, $5)", AN_ID, at, msgspec.Raw(b'{"a": 1.0}'), "x", PHASES
        )
        row = await db.row("SELECT * FROM things WHERE id = $1", AN_ID)
    assert row is not None
    assert (row["id"], row["at"], row["name"]) == (AN_ID, at, "x")
    assert isinstance(row["facts"], msgspec.Raw)
    assert msgspec.json.decode(row["facts"]) == {"a": 1.0}
    assert row["told"] == PHASES


async def test_copy_speaks_the_same_types(store: Store) -> None:
    async with store.connection() as db:
        await db.copy("things", ["id", "facts", "name"], [(AN_ID, b"[1]", "x")])
        assert await db.value("SELECT facts FROM things WHERE id = ANY($1::uuid[])", [AN_ID]) == msgspec.Raw(b"[1]")


async def test_a_transaction_that_raises_leaves_nothing(store: Store) -> None:
    async def fail() -> None:
        async with store.transaction() as db:
            await db.run("INSERT INTO things (id) VALUES ($1)", AN_ID)
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    async with store.connection() as db:
        assert await db.value("SELECT count(*) FROM things") == 0


async def test_a_savepoint_undoes_only_itself(store: Store) -> None:
    async with store.transaction() as db:
        assert await db.run("INSERT INTO things (id) VALUES ($1)", AN_ID) == 1
        with pytest.raises(DuplicateError):
            async with db.transaction():
                await db.run("INSERT INTO things (id) VALUES ($1)", AN_ID)
    async with store.connection() as db:
        assert await db.value("SELECT count(*) FROM things") == 1


async def test_what_cannot_be_stored_is_told_from_what_is_wrong(store: Store) -> None:
    async with store.connection() as db:
        with pytest.raises(InvalidValueError):
            await db.run("INSERT INTO things (id, name) VALUES ($1, $2)", AN_ID, "a\0b")
        with pytest.raises(InvalidValueError):
            await db.run("INSERT INTO things (id, facts) VALUES ($1, $2)", AN_ID, b'"\\u0000"')
        with pytest.raises(InvalidValueError):
            await db.run("INSERT INTO things (id) VALUES ($1)", "no id")
        with pytest.raises(StoreError) as error:
            await db.run("SELECT 1 +")
    assert type(error.value) is StoreError


async def test_what_is_too_long_for_an_index_cannot_be_stored(store: Store) -> None:
    async with store.connection() as db:
        await db.script("CREATE UNIQUE INDEX ON things (name)")
        with pytest.raises(InvalidValueError):
            await db.run("INSERT INTO things (id, name) VALUES ($1, $2)", AN_ID, secrets.token_hex(9000))


@pytest.mark.parametrize("sql", ["SELECT * FROM nothing", "SELECT nothing FROM things"])
async def test_a_table_or_column_that_lacks_is_an_error_of_its_own(store: Store, sql: str) -> None:
    async with store.connection() as db:
        with pytest.raises(SchemaMismatchError):
            await db.run(sql)


@pytest.mark.parametrize("sqlstate", ["40001", "40P01"])
async def test_what_was_undone_for_the_sake_of_another_may_be_done_again(store: Store, sqlstate: str) -> None:
    async with store.connection() as db:
        with pytest.raises(RolledBackError):
            await db.script(f"DO $$ BEGIN RAISE EXCEPTION 'undone' USING ERRCODE = '{sqlstate}'; END $$")


async def test_errors_of_the_caller_stay_what_they_are(store: Store) -> None:
    with pytest.raises(ConnectionResetError):
        async with store.transaction():
            raise ConnectionResetError


async def test_more_callers_than_connections_wait_their_turn(store: Store) -> None:
    async def one() -> None:
        async with store.transaction() as db:
            await db.value("SELECT 1")

    async with asyncio.TaskGroup() as group:
        for _ in range(30):
            group.create_task(one())


async def test_a_postgres_that_is_not_there_is_unavailable_at_the_deadline() -> None:
    dsn = f"postgresql://postgres@127.0.0.1:{free_port()}/postgres"
    with pytest.raises(UnavailableError):
        async with open_store(dsn, connect_timeout_s=0.3):
            pass


async def test_a_wrong_database_is_told_at_once(postgres_server: PostgresServer) -> None:
    with pytest.raises(StoreError, match="nowhere"):
        async with open_store(postgres_server.dsn("nowhere")):
            pass


async def test_opening_waits_for_a_postgres_that_is_still_starting(own_postgres_server: PostgresServer) -> None:
    own_postgres_server.kill()

    async def ping() -> None:
        async with open_store(own_postgres_server.dsn()) as store:
            await store.ping()

    async with asyncio.TaskGroup() as group:
        group.create_task(ping())
        await asyncio.to_thread(own_postgres_server.start)


async def test_the_pool_heals_after_postgres_was_killed(own_postgres_server: PostgresServer) -> None:
    async def cut_off(store: Store) -> None:
        async with store.transaction() as db:
            await db.value("SELECT 1")
            own_postgres_server.kill()
            await db.value("SELECT 1")

    async with open_store(own_postgres_server.dsn(), size_max=4) as store:
        with pytest.raises(UnavailableError):
            await cut_off(store)
        with pytest.raises(UnavailableError):
            await store.ping()
        await asyncio.to_thread(own_postgres_server.start)
        for _ in range(8):
            await store.ping()


async def test_the_pool_heals_after_an_administrator_cut_every_session(store: Store) -> None:
    async with store.connection() as db:
        mine = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
        with pytest.raises(UnavailableError):
            await db.rows(mine)

    # A connection whose end has not arrived yet is still lent, each to one caller at the most.
    async def answers() -> bool:
        try:
            await store.ping()
        except UnavailableError:
            return False
        return True

    await eventually(answers, within_s=10, what="an answer")


async def test_a_cancellation_stays_one_when_postgres_does_not_hear_of_it(own_postgres_server: PostgresServer) -> None:
    async def wait(store: Store) -> None:
        async with store.connection() as db:
            await db.value("SELECT pg_sleep(20)")

    async with open_store(own_postgres_server.dsn(), size_max=4) as store:
        try:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(wait(store))
                await asyncio.sleep(0.3)
                own_postgres_server.process.signal(signal.SIGSTOP)
                task.cancel()
        finally:
            own_postgres_server.process.signal(signal.SIGCONT)
        assert task.cancelled()
        await store.ping()
