"""Services as processes, of which only the gateway and the kinds have keys, and a look at everything that they leave."""

import base64
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import nats
from nats.aio.msg import Msg
from nats.js.errors import NotFoundError

from tests.support.cluster import Cluster, bootstrap
from tests.support.servers import running_nats, running_postgres, scratch

KEYS = "VEDETTE_SEALING_KEYS"
_TABLES = "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'"


class SealedHouse(Cluster):
    """A cluster whose gateway and prober are given keys, which a test may exchange."""

    def begin(self, keys: str) -> None:
        self.add("results", VEDETTE_LOG_LEVEL="debug")
        for name in ("gateway", "http"):
            self.add(name, VEDETTE_LOG_LEVEL="debug", **{KEYS: keys})
        for service in self.services.values():
            service.wait_ready()
        self.key = bootstrap(self.settings(), self.directory)

    def give(self, name: str, keys: str) -> None:
        """Starts a service anew with these keys."""
        self.services.pop(name).process.terminate()
        self.add(name, VEDETTE_LOG_LEVEL="debug", **{KEYS: keys})
        self.services[name].wait_ready()

    async def leavings(self) -> dict[str, bytes]:
        """Returns everything that is stored or was logged, by where: streams, tables, logs, and the files behind them."""
        found = await self._streams() | await self._tables()
        folders = {"logs": self.directory, "nats": self.nats.store, "postgres": self.postgres.data}
        for name, folder in folders.items():
            paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
            found |= {f"{name}: {path.relative_to(folder)}": _read(path) for path in paths}
        return found

    async def _streams(self) -> dict[str, bytes]:
        client = await nats.connect(self.nats.url)
        try:
            found: dict[str, bytes] = {}
            for info in await client.jetstream().streams_info():
                name, state = info.config.name or "", info.state
                for seq in range(max(state.first_seq, 1), state.last_seq + 1):
                    with contextlib.suppress(NotFoundError):
                        message = await client.jetstream().get_msg(name, seq)
                        headers = repr(message.headers).encode()
                        found[f"{name} {seq}"] = headers + (message.data or b"")
            return found
        finally:
            await client.close()

    async def _tables(self) -> dict[str, bytes]:
        database = await asyncpg.connect(self.dsn)
        try:
            await database.execute("CHECKPOINT")
            tables = [row[0] for row in await database.fetch(_TABLES)]
            return {table: await _rows(database, table) for table in tables}
        finally:
            await database.close()


@contextlib.contextmanager
def running_house(keys: str) -> Iterator[SealedHouse]:
    """A house with these keys; on failure its logs are printed."""
    with scratch("sealed") as directory, running_nats() as nats_server, running_postgres() as postgres:
        house = SealedHouse(directory, nats_server, postgres, postgres.new_database())
        try:
            house.begin(keys)
            yield house
        except BaseException:
            print(house.logs())
            raise
        finally:
            house.stop()


@contextlib.asynccontextmanager
async def watching(nats_url: str) -> AsyncIterator[dict[str, bytes]]:
    """Gives everything that passes on any subject, replies included, by number and subject, as it comes."""
    seen: dict[str, bytes] = {}
    client = await nats.connect(nats_url)

    async def note(message: Msg) -> None:
        seen[f"{len(seen)} {message.subject}"] = repr(message.headers).encode() + message.data

    subscription = await client.subscribe(">", cb=note, pending_msgs_limit=-1, pending_bytes_limit=-1)
    try:
        await client.flush()
        yield seen
        await client.flush()
        await subscription.drain()
    finally:
        await client.close()


def places(secrets: list[str], found: dict[str, bytes]) -> list[tuple[str, str]]:
    """Returns which secret stands where, as it is, in hex, in base64 or as JSON escapes it."""
    forms = {form: secret for secret in secrets for form in _forms(secret)}
    return [(where, secret) for where, data in found.items() for form, secret in forms.items() if form in data]


def _forms(secret: str) -> set[bytes]:
    plain = secret.encode()
    # The middle of base64, at each of the three places at which a text may begin in it.
    shifted = {base64.b64encode(b"x" * shift + plain)[4 : -4 or None] for shift in range(3)}
    url_safe = {form.replace(b"+", b"-").replace(b"/", b"_") for form in shifted}
    return {plain, plain.hex().encode(), *shifted, *url_safe}


async def _rows(database: Any, table: str) -> bytes:
    """Returns the table as text, and its bytes as they are."""
    rows = await database.fetch(f"SELECT t.*, t::text AS whole FROM {table} AS t")
    values = [value for row in rows for value in row.values()]
    return b"\n".join(value if isinstance(value, bytes) else str(value).encode() for value in values)


def _read(path: Path) -> bytes:
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes()
    return b""
