import asyncio

import pytest

from libs.store.core.errors import StoreError
from libs.store.core.migrate import Migration, MigrationError, migrate, migrations
from libs.store.core.pool import open_store
from tests.support.room import somebody_waits


async def test_many_processes_migrate_at_once_and_each_file_is_applied_once(postgres_dsn: str) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(5):
            group.create_task(migrate(postgres_dsn))
    async with open_store(postgres_dsn) as store, store.connection() as db:
        names = [row["name"] for row in await db.rows("SELECT name FROM migrations ORDER BY version")]
        assert names == [migration.name for migration in migrations()]
        assert await db.value("SELECT count(*) FROM monitors") == 0


async def test_migrating_again_changes_nothing(postgres_dsn: str) -> None:
    await migrate(postgres_dsn)
    async with open_store(postgres_dsn) as store, store.connection() as db:
        before = await db.value("SELECT max(applied_at) FROM migrations")
        await migrate(postgres_dsn)
        assert await db.value("SELECT max(applied_at) FROM migrations") == before


async def test_an_index_is_built_beside_running_transactions_while_others_wait_to_migrate(postgres_dsn: str) -> None:
    known = [
        Migration(1, "001_a.sql", "CREATE TABLE a (id integer); INSERT INTO a SELECT generate_series(1, 9)"),
        Migration(2, "002_b.sql", "-- no-transaction\nCREATE INDEX CONCURRENTLY a_id ON a (id)"),
    ]
    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(migrate(postgres_dsn, known))
    async with open_store(postgres_dsn) as store, store.connection() as db:
        assert await db.value("SELECT count(*) FROM migrations") == 2


async def test_a_file_that_is_undone_for_a_process_at_work_is_applied_after_it(postgres_dsn: str) -> None:
    """During an upgrade the processes of the version before are still writing, and lock tables in their own order."""
    known = [
        Migration(1, "001_a.sql", "CREATE TABLE a (id integer); CREATE TABLE b (id integer)"),
        Migration(2, "002_b.sql", "ALTER TABLE a ADD COLUMN x integer; ALTER TABLE b ADD COLUMN x integer"),
    ]
    await migrate(postgres_dsn, known[:1])
    async with open_store(postgres_dsn) as store:
        async with asyncio.TaskGroup() as group, store.transaction() as db:
            await db.run("INSERT INTO b VALUES (1)")
            group.create_task(migrate(postgres_dsn, known))
            await somebody_waits(store)
            await db.run("SET LOCAL deadlock_timeout = '1min'")
            await db.run("INSERT INTO a VALUES (1)")
        async with store.connection() as db:
            assert [tuple(row.values()) for row in await db.rows("SELECT a.x, b.x AS y FROM a, b")] == [(None, None)]


async def test_a_file_that_fails_leaves_nothing_behind(postgres_dsn: str) -> None:
    broken = [Migration(1, "001_a.sql", "CREATE TABLE a (id integer); SELECT 1 / 0")]
    with pytest.raises(StoreError, match="division by zero"):
        await migrate(postgres_dsn, broken)
    await migrate(postgres_dsn, [Migration(1, "001_a.sql", "CREATE TABLE a (id integer)")])


async def test_a_database_of_a_newer_version_is_left_alone(postgres_dsn: str) -> None:
    await migrate(postgres_dsn)
    async with open_store(postgres_dsn) as store, store.connection() as db:
        await db.run("INSERT INTO migrations (version, name, sha256) VALUES (999, '999_later.sql', '')")
    with pytest.raises(MigrationError, match="999"):
        await migrate(postgres_dsn)


_ROWS_BEFORE_002 = """
INSERT INTO tenants (id, name, created_at) VALUES
    ('00000000-0000-7000-8000-000000000002', 'second', '2026-02-01Z'),
    ('00000000-0000-7000-8000-000000000001', 'first', '2026-01-01Z');
INSERT INTO keys (id, tenant_id, name, sha256, scopes, revoked_at)
SELECT gen_random_uuid(), tenants.id, tenants.name || ' ' || scope || CASE WHEN gone THEN ' gone' ELSE '' END,
       sha256((tenants.name || scope || gone)::bytea), ARRAY[scope], CASE WHEN gone THEN now() END
FROM tenants, unnest(ARRAY['read', 'admin']) AS scope, unnest(ARRAY[true, false]) AS gone;
"""


async def test_who_administered_the_first_tenant_before_there_were_operators_is_one(postgres_dsn: str) -> None:
    known = migrations()
    await migrate(postgres_dsn, known[:1])
    async with open_store(postgres_dsn) as store, store.connection() as db:
        await db.script(_ROWS_BEFORE_002)
        await migrate(postgres_dsn, known)
        rows = await db.rows("SELECT name, scopes FROM keys WHERE 'operator' = ANY(scopes)")
        assert [(row["name"], row["scopes"]) for row in rows] == [("first admin", ["admin", "operator"])]
        assert await db.value("SELECT count(DISTINCT number) FROM keys") == 8


async def test_the_rows_of_version_two_are_kept_under_their_new_names(postgres_dsn: str) -> None:
    await migrate(postgres_dsn, migrations()[:2])
    async with open_store(postgres_dsn) as store, store.transaction() as db:
        tenant = await db.value(
            "INSERT INTO tenants (id, name, created_at) VALUES (uuidv7(), 'old', now()) RETURNING id"
        )
        await db.run("INSERT INTO facts (name, value) VALUES ('checks', '\"then\"')")
        await db.run("INSERT INTO buckets (id, tokens, at) VALUES ($1, 7, now())", tenant)
        await db.run("INSERT INTO asset_numbers (tenant_id, dialect, sort, last) VALUES ($1, 'd', 'device', 3)", tenant)
    await migrate(postgres_dsn)
    async with open_store(postgres_dsn) as store, store.connection() as db:
        assert await db.value("SELECT value #>> '{}' FROM key_values WHERE name = 'checks'") == "then"
        assert await db.value("SELECT tokens FROM token_buckets") == 7
        assert await db.value("SELECT last FROM asset_numbers WHERE type = 'device'") == 3
        assert await db.value("SELECT count(*) FROM confirmations") == 0
        old = "SELECT count(*) FROM pg_class WHERE relname ~ '(^|_)(folds|facts|sort)(_|$)' OR relname ~ '^buckets'"
        assert await db.value(old) == 0
