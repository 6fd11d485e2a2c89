import asyncio

import pytest

from libs.store.migrate import MigrationError, migrate, migrations
from libs.store.pool import open_store


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


async def test_a_database_of_a_newer_version_is_left_alone(postgres_dsn: str) -> None:
    await migrate(postgres_dsn)
    async with open_store(postgres_dsn) as store, store.connection() as db:
        await db.run("INSERT INTO migrations (version, name, sha256) VALUES (999, '999_later.sql', '')")
    with pytest.raises(MigrationError, match="999"):
        await migrate(postgres_dsn)
