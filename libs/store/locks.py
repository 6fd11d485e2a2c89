"""The advisory locks: each is held for one transaction or one connection, so that a dead process holds none."""

import contextlib
from collections.abc import AsyncIterator
from enum import IntEnum

from libs.store.driver import Db
from libs.store.errors import StoreError

_HOLD = "SELECT pg_advisory_xact_lock($1)"
_TRY_HOLD = "SELECT pg_try_advisory_xact_lock($1)"
_TRY_KEEP = "SELECT pg_try_advisory_lock($1)"
_RELEASE = "SELECT pg_advisory_unlock($1)"


class Lock(IntEnum):
    """What only one transaction at a time may do. FOLDING is taken before any lock on a row."""

    FOLDING = 0x76656401  # the ingest and the sweep: whoever turns results into folds, states and gaps
    RELAY = 0x76656402
    KEEPER = 0x76656403
    ROLLUPS = 0x76656404
    PARTITIONS = 0x76656405
    BOOTSTRAP = 0x76656406
    OPERATORS = 0x76656407
    RETENTION = 0x76656408


async def hold(db: Db, lock: Lock) -> None:
    """Waits for the lock, then holds it until the transaction ends."""
    await db.value(_HOLD, int(lock))


async def try_hold(db: Db, lock: Lock) -> bool:
    """Holds the lock until the transaction ends, or returns False at once when another holds it."""
    return bool(await db.value(_TRY_HOLD, int(lock)))


@contextlib.asynccontextmanager
async def kept(db: Db, lock: Lock) -> AsyncIterator[bool]:
    """Holds the lock for a block of several transactions on `db`, or gives False at once when another holds it."""
    held = bool(await db.value(_TRY_KEEP, int(lock)))
    try:
        yield held
    finally:
        if held:
            # On a connection that is gone, Postgres has released it already.
            with contextlib.suppress(StoreError):
                await db.value(_RELEASE, int(lock))
