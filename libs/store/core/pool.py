"""Bounded connection pool that recovers after PostgreSQL was unavailable."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import structlog

from libs.store.core.driver import Db, map_errors, open_pool
from libs.store.core.errors import StoreError, UnavailableError

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_ACQUIRE_TIMEOUT_S = 5.0


class Store:
    """Hands out connections. Every error that leaves it is one of libs.store.core.errors."""

    def __init__(self, pool: Any, dsn: str) -> None:
        self._pool = pool
        self.dsn = dsn

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Db]:
        """Lends a connection on which each statement stands alone: for reads."""
        with map_errors():
            connection = await self._pool.acquire(timeout=_ACQUIRE_TIMEOUT_S)
        try:
            yield Db(connection)
        finally:
            # The pool itself drops a connection that cannot be released. That must hide neither what was done on it
            # nor a cancellation.
            with contextlib.suppress(StoreError), map_errors():
                await self._pool.release(connection, timeout=_ACQUIRE_TIMEOUT_S)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Db]:
        """Lends a connection for one transaction, committed when the block ends and undone when it raises."""
        async with self.connection() as db, db.transaction():
            yield db

    async def ping(self) -> None:
        """Returns when Postgres answers, and raises when it does not."""
        async with self.connection() as db:
            await db.value("SELECT 1")


@contextlib.asynccontextmanager
async def open_store(
    dsn: str,
    *,
    size_max: int = 16,
    command_timeout_s: float = 30.0,
    connect_timeout_s: float = 60.0,
    name: str = "vedette",
) -> AsyncIterator[Store]:
    """Opens the store, waiting up to `connect_timeout_s` for a Postgres that is still starting."""
    pool = await _connect_with_retry(
        dsn, connect_timeout_s, size_max=size_max, command_timeout_s=command_timeout_s, name=name
    )
    try:
        yield Store(pool, dsn)
    finally:
        await _close(pool)


async def _connect_with_retry(dsn: str, connect_timeout_s: float, **options: Any) -> Any:
    pause_s = 0.1
    deadline = asyncio.get_running_loop().time() + connect_timeout_s
    while True:
        try:
            return await open_pool(dsn, **options)
        except UnavailableError as error:
            if asyncio.get_running_loop().time() + pause_s > deadline:
                raise
            log.info("store.waiting", error=str(error), pause_s=pause_s)
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, 2.0)


async def _close(pool: Any) -> None:
    try:
        async with asyncio.timeout(5.0):
            await pool.close()
    except TimeoutError:
        pool.terminate()
