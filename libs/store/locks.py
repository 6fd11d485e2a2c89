"""The advisory locks: each is held for one transaction, so that a dead process holds none."""

from enum import IntEnum

from libs.store.driver import Db

_HOLD = "SELECT pg_advisory_xact_lock($1)"
_TRY_HOLD = "SELECT pg_try_advisory_xact_lock($1)"


class Lock(IntEnum):
    """What only one transaction at a time may do. FOLDING is taken before any lock on a row."""

    FOLDING = 0x76656401  # the ingest and the sweep: whoever turns results into folds, states and gaps
    RELAY = 0x76656402
    KEEPER = 0x76656403
    ROLLUPS = 0x76656404
    PARTITIONS = 0x76656405
    BOOTSTRAP = 0x76656406


async def hold(db: Db, lock: Lock) -> None:
    """Waits for the lock, then holds it until the transaction ends."""
    await db.value(_HOLD, int(lock))


async def try_hold(db: Db, lock: Lock) -> bool:
    """Holds the lock until the transaction ends, or returns False at once when another holds it."""
    return bool(await db.value(_TRY_HOLD, int(lock)))
