"""Schema migrations: numbered .sql files, each applied once."""

import asyncio
import hashlib
import importlib.resources
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources.abc import Traversable

import structlog

from libs.store.core.driver import Db, open_connection
from libs.store.core.errors import RolledBackError, StoreError

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_FILE_NAME = re.compile(r"(\d{3})_[a-z0-9_]+\.sql")
_NO_TRANSACTION = "-- no-transaction"
_LOCK_KEY = 0x76656465747465  # "vedette"
_LOCK_TIMEOUT_S = 600
_ATTEMPTS = 5

_CREATE_TABLE = """
CREATE TABLE IF NOT EXISTS migrations (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    sha256     text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""
_APPLIED = "SELECT version, sha256 FROM migrations"
_RECORD = "INSERT INTO migrations (version, name, sha256) VALUES ($1, $2, $3)"


class MigrationError(StoreError):
    """The database and this code do not fit together; the text says what to do."""


@dataclass(frozen=True)
class Migration:
    """One numbered file."""

    version: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def transactional(self) -> bool:
        """False for a file that says so in its first line: Postgres forbids its one statement in a transaction."""
        return not self.sql.startswith(_NO_TRANSACTION)


async def migrate(dsn: str, known: list[Migration] | None = None) -> None:
    """Applies what is missing. Several processes may call it at once: one works, the others wait for it."""
    async with open_connection(dsn) as db:
        await _wait_for_lock(db)
        await db.script(_CREATE_TABLE)
        applied = {row["version"]: row["sha256"] for row in await db.rows(_APPLIED)}
        for migration in pending(migrations() if known is None else known, applied):
            await _apply(db, migration)
            log.info("store.migrated", file=migration.name)


def migrations(folder: Traversable | None = None) -> list[Migration]:
    """Returns the files of `folder` (by default those of this package) in order."""
    folder = folder or importlib.resources.files("libs.store") / "migrations"
    files = [file for file in folder.iterdir() if file.name.endswith(".sql")]
    found = sorted((_read(file) for file in files), key=lambda migration: migration.version)
    if [migration.version for migration in found] != list(range(1, len(found) + 1)):
        raise MigrationError("The migrations must be numbered 001, 002, ... without a gap.")
    return found


def pending(known: list[Migration], applied: Mapping[int, str]) -> list[Migration]:
    """Returns what is still to be applied, or raises when the database is newer or was made by other files."""
    newer = sorted(set(applied) - {migration.version for migration in known})
    if newer:
        raise MigrationError(f"The database has migration {newer[-1]:03}, which this version does not know: update it.")
    for migration in known:
        if applied.get(migration.version, migration.sha256) != migration.sha256:
            raise MigrationError(f"{migration.name} was changed after it was applied: restore it and add a new file.")
    return [migration for migration in known if migration.version not in applied]


async def _wait_for_lock(db: Db) -> None:
    """Holds the lock until the connection ends.

    It asks again and again, for a statement that waits would itself be waited for by CREATE INDEX CONCURRENTLY.
    """
    try:
        async with asyncio.timeout(_LOCK_TIMEOUT_S):
            while not await db.value("SELECT pg_try_advisory_lock($1)", _LOCK_KEY):  # noqa: ASYNC110 - no event reaches across processes
                await asyncio.sleep(0.2)
    except TimeoutError as error:
        raise MigrationError(f"Another process has been migrating the database for {_LOCK_TIMEOUT_S} s.") from error


def _read(file: Traversable) -> Migration:
    match = _FILE_NAME.fullmatch(file.name)
    if match is None:
        raise MigrationError(f"{file.name} is not named like 001_foundation.sql.")
    return Migration(version=int(match[1]), name=file.name, sql=file.read_text(encoding="utf-8"))


async def _apply(db: Db, migration: Migration) -> None:
    if not migration.transactional:
        await _run(db, migration)
        return
    for left in reversed(range(_ATTEMPTS)):
        try:
            async with db.transaction():
                await _run(db, migration)
        except RolledBackError as error:  # for a process of the version before, which locks tables in its own order
            if not left:
                raise
            log.info("store.rolled_back", file=migration.name, error=str(error))
        else:
            return


async def _run(db: Db, migration: Migration) -> None:
    await db.script(migration.sql)
    await db.run(_RECORD, migration.version, migration.name, migration.sha256)
