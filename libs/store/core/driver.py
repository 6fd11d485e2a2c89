"""PostgreSQL driver: connections, codecs and mapping of errors. The only module that imports asyncpg."""

import contextlib
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import msgspec

from libs.store.core.errors import (
    DuplicateError,
    ForeignKeyError,
    InvalidValueError,
    RolledBackError,
    SchemaMismatchError,
    StoreError,
    UnavailableError,
)

Row = Mapping[str, Any]

# SQLSTATE classes after which the same statement may succeed: connection lost, rolled back by a conflict,
# out of resources, stopped by an operator, failed I/O.
_TRANSIENT_CLASSES = ("08", "40", "53", "57", "58")
_INVALID_VALUE_CLASSES = ("22", "23", "54")  # also what is too long for an index
_BY_SQLSTATE: Mapping[str, type[StoreError]] = {
    "23503": ForeignKeyError,
    "23505": DuplicateError,
    "25006": UnavailableError,  # a standby that is read-only until it takes over
    "40001": RolledBackError,  # could not be put in an order with others
    "40P01": RolledBackError,  # a deadlock
    "42P01": SchemaMismatchError,  # no such table
    "42703": SchemaMismatchError,  # no such column
}


@contextlib.contextmanager
def map_errors() -> Iterator[None]:
    """Turns what asyncpg and the socket raise into errors of the store."""
    try:
        yield
    except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
        raise _to_store_error(error) from error


def _to_store_error(error: Exception) -> StoreError:
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return _error_class(error)(text)


def _error_class(error: Exception) -> type[StoreError]:
    if isinstance(error, asyncpg.InvalidCachedStatementError):
        return UnavailableError
    if isinstance(error, asyncpg.PostgresError):
        return _sqlstate_error_class(error.sqlstate or "")
    # A parameter that asyncpg cannot encode; all its other InterfaceErrors are about a connection that is gone.
    return InvalidValueError if isinstance(error, ValueError) else UnavailableError


def _sqlstate_error_class(sqlstate: str) -> type[StoreError]:
    if sqlstate in _BY_SQLSTATE:
        return _BY_SQLSTATE[sqlstate]
    if sqlstate.startswith(_TRANSIENT_CLASSES):
        return UnavailableError
    return InvalidValueError if sqlstate.startswith(_INVALID_VALUE_CLASSES) else StoreError


async def open_pool(dsn: str, *, size_max: int, command_timeout_s: float, name: str) -> Any:
    """Returns a pool whose connections speak our types; raises an error of the store."""
    with map_errors():
        return await asyncpg.create_pool(
            dsn,
            min_size=min(4, size_max),  # a fresh connection costs a reader tens of milliseconds
            max_size=size_max,
            timeout=5.0,
            command_timeout=command_timeout_s,
            init=_set_codecs,
            reset=_skip_reset,
            server_settings={
                "application_name": name,
                "jit": "off",
                "statement_timeout": str(int(command_timeout_s * 1000)),
                "idle_in_transaction_session_timeout": "60000",
            },
        )


@contextlib.asynccontextmanager
async def open_connection(dsn: str) -> AsyncIterator["Db"]:
    """Opens one connection of its own, without any time limit for its statements."""
    with map_errors():
        connection = await asyncpg.connect(dsn, timeout=5.0, server_settings={"application_name": "vedette migrate"})
    try:
        yield Db(connection)
    finally:
        with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await connection.close(timeout=5.0)


async def _set_codecs(connection: Any) -> None:
    """JSON stays encoded (msgspec.Raw or bytes), ids are the text that we print."""
    for name, encoder, decoder in _CODECS:
        await connection.set_type_codec(name, schema="pg_catalog", encoder=encoder, decoder=decoder, format="binary")


async def _skip_reset(_: Any) -> None:
    """Saves a round trip at each release: we change no setting of a session, and asyncpg itself rolls back."""


def _encode_jsonb(value: bytes | msgspec.Raw) -> bytes:
    return b"\x01" + bytes(value)


def _decode_jsonb(value: bytes) -> msgspec.Raw:
    return msgspec.Raw(value[1:])


def _encode_uuid(text: str) -> bytes:
    return bytes.fromhex(text.replace("-", ""))


def _decode_uuid(value: bytes) -> str:
    text = value.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


_CODECS = (
    ("json", bytes, msgspec.Raw),
    ("jsonb", _encode_jsonb, _decode_jsonb),
    ("uuid", _encode_uuid, _decode_uuid),
)


class Db:
    """One connection. Inside `Store.transaction` all its statements are one transaction."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def rows(self, sql: str, *args: object) -> Sequence[Row]:
        with map_errors():
            found: Sequence[Row] = await self._connection.fetch(sql, *args)
            return found

    async def row(self, sql: str, *args: object) -> Row | None:
        with map_errors():
            found: Row | None = await self._connection.fetchrow(sql, *args)
            return found

    async def value(self, sql: str, *args: object) -> Any:
        with map_errors():
            return await self._connection.fetchval(sql, *args)

    async def run(self, sql: str, *args: object) -> int:
        """Returns how many rows the statement touched."""
        with map_errors():
            tag: str = await self._connection.execute(sql, *args)
        count = tag.rpartition(" ")[2]
        return int(count) if count.isdigit() else 0

    async def run_many(self, sql: str, args: Iterable[Sequence[object]]) -> None:
        with map_errors():
            await self._connection.executemany(sql, args)

    async def script(self, sql: str) -> None:
        """Runs several statements without arguments and without a time limit."""
        with map_errors():
            await self._connection.execute(sql, timeout=None)

    async def copy(self, table: str, columns: Sequence[str], records: Iterable[Sequence[object]]) -> None:
        """Adds rows by COPY, the fastest way; one bad row refuses them all."""
        with map_errors():
            await self._connection.copy_records_to_table(table, records=records, columns=columns)

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """A transaction, or a savepoint inside one: what fails in it is undone, and nothing else."""
        transaction = self._connection.transaction()
        with map_errors():
            await transaction.start()
        try:
            yield
        except BaseException:
            # On a connection that is gone, Postgres has undone it already.
            with contextlib.suppress(StoreError), map_errors():
                await transaction.rollback()
            raise
        with map_errors():
            await transaction.commit()
