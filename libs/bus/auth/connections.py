"""Listing and closing client connections through the system account, on all servers of a cluster."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime

import msgspec
import nats
import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError

from libs.bus.auth import permissions
from libs.bus.auth.callout_protocol import SERVICES_ACCOUNT
from libs.bus.client.bounded_subscription import BoundedSubscription
from libs.bus.client.ping_workaround import ignore_cancelled_pongs
from libs.bus.connection import url_user
from libs.bus.errors import BusError, as_bus_errors, describe

PAGE_SIZE = 500
PAGES_MAX = 400
# The first server replies within milliseconds; the number of servers is not known.
FIRST_REPLY_S = 2.0
NEXT_REPLY_S = 0.3
KICK_S_MAX = 2.0

_CONNZ = "$SYS.REQ.SERVER.PING.CONNZ"
_CONNECT_S = 30.0

log = structlog.get_logger("vedette.bus")


class ClientConnection(msgspec.Struct, frozen=True):
    """A client connection: its user on the server, its age in seconds, and its number of subscriptions."""

    server_id: str
    cid: int
    user: str
    age_s: float
    subscriptions: int


class _ConnzClient(msgspec.Struct):
    cid: int
    start: datetime
    subscriptions: int = 0
    authorized_user: str = ""


class _ConnzPage(msgspec.Struct):
    server_id: str
    now: datetime
    connections: list[_ConnzClient] = []


class _ConnzReply(msgspec.Struct):
    data: _ConnzPage


_decode = msgspec.json.Decoder(_ConnzReply).decode


class ServerConnections:
    """Client connections of all servers.

    Uses a connection of its own, as the user of the system account: no other user has these permissions.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, *, name: str) -> AsyncIterator["ServerConnections"]:
        with as_bus_errors("connect to the system account of NATS"):
            async with asyncio.timeout(_CONNECT_S):
                client = await nats.connect(
                    url.split(","),
                    name=name,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=1,
                    inbox_prefix=permissions.inbox_prefix(url_user(url)),
                    error_cb=_on_error,
                )
                ignore_cancelled_pongs(client)
        try:
            yield cls(client)
        finally:
            with suppress(NatsError, OSError):
                await client.close()

    async def list_of_user(self, user: str) -> AsyncGenerator[ClientConnection, None]:
        """Yields the connections of one user on all servers; BusError if no server replies."""
        async for connection in self._list({"user": user}):
            yield connection

    async def list_all(self) -> AsyncGenerator[ClientConnection, None]:
        """Yields every connection in the account of the services."""
        async for connection in self._list({"acc": SERVICES_ACCOUNT}):
            yield connection

    async def kick(self, connection: ClientConnection) -> None:
        """Closes one connection. Its client sees a broken connection, and reconnects."""
        with as_bus_errors("close a connection"):
            body = msgspec.json.encode({"cid": connection.cid})
            # The server ignores a message without a reply subject.
            await self._client.request(f"$SYS.REQ.SERVER.{connection.server_id}.KICK", body, timeout=KICK_S_MAX)

    async def _list(self, wanted: dict[str, str]) -> AsyncGenerator[ClientConnection, None]:
        for number in range(PAGES_MAX):
            is_last = True
            async for page in self._request_pages(
                {**wanted, "auth": True, "limit": PAGE_SIZE, "offset": number * PAGE_SIZE}
            ):
                is_last = is_last and len(page.connections) < PAGE_SIZE
                for client in page.connections:
                    age_s = (page.now - client.start).total_seconds()
                    yield ClientConnection(
                        page.server_id, client.cid, client.authorized_user, age_s, client.subscriptions
                    )
            if is_last:
                return

    async def _request_pages(self, request: dict[str, object]) -> AsyncGenerator[_ConnzPage, None]:
        """Requests one page of connections from every server; yields the replies."""
        reply_to = self._client.new_inbox()
        async with BoundedSubscription.open(self._client, reply_to) as subscription:
            with as_bus_errors("list connections"):
                await self._client.publish(_CONNZ, msgspec.json.encode(request), reply=reply_to)
            timeout_s = FIRST_REPLY_S
            while True:
                try:
                    async with asyncio.timeout(timeout_s):
                        reply = await anext(subscription)
                except TimeoutError:
                    break
                yield _decode_page(reply.data)
                timeout_s = NEXT_REPLY_S
        if timeout_s == FIRST_REPLY_S:
            raise BusError("list connections: no server replied")


def _decode_page(body: bytes) -> _ConnzPage:
    try:
        return _decode(body).data
    except msgspec.DecodeError as error:
        raise BusError(f"list connections: the reply cannot be decoded: {error}") from error


async def _on_error(error: Exception) -> None:
    log.warning("bus.system_connection_error", error=describe(error))
