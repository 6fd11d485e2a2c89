"""Advisory locks, each held by one transaction or one connection: the lock of a dead process is released."""

import contextlib
from collections.abc import AsyncIterator
from enum import IntEnum

from libs.store.core.driver import Db
from libs.store.core.errors import StoreError

_ACQUIRE = "SELECT pg_advisory_xact_lock($1)"
_TRY_ACQUIRE = "SELECT pg_try_advisory_xact_lock($1)"
_TRY_ACQUIRE_SESSION = "SELECT pg_try_advisory_lock($1)"
_RELEASE_SESSION = "SELECT pg_advisory_unlock($1)"


class AdvisoryLock(IntEnum):
    """Advisory locks by number. MONITOR_STATE is acquired before any row lock."""

    MONITOR_STATE = 0x76656401  # ingest, commands and missed ticks: every writer of confirmations, states and gaps
    OUTBOX = 0x76656402
    SCHEDULES = 0x76656403
    ROLLUPS = 0x76656404
    PARTITIONS = 0x76656405
    BOOTSTRAP = 0x76656406
    OPERATORS = 0x76656407
    RETENTION = 0x76656408


async def acquire(db: Db, lock: AdvisoryLock) -> None:
    """Waits for the lock, then holds it until the transaction ends."""
    await db.value(_ACQUIRE, int(lock))


async def try_acquire(db: Db, lock: AdvisoryLock) -> bool:
    """Holds the lock until the transaction ends, or returns False at once when another holds it."""
    return bool(await db.value(_TRY_ACQUIRE, int(lock)))


@contextlib.asynccontextmanager
async def session_lock(db: Db, lock: AdvisoryLock) -> AsyncIterator[bool]:
    """Holds the lock for a block of several transactions on `db`, or gives False at once when another holds it."""
    held = bool(await db.value(_TRY_ACQUIRE_SESSION, int(lock)))
    try:
        yield held
    finally:
        if held:
            # On a connection that is gone, Postgres has released it already.
            with contextlib.suppress(StoreError):
                await db.value(_RELEASE_SESSION, int(lock))
