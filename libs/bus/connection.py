"""NATS connection of one process: JetStream publishing, requests, core publish and subscribe."""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import NoReturn, TypeVar
from urllib.parse import unquote, urlsplit

import structlog
from fast_depends.msgspec import MsgSpecSerializer
from faststream.nats import NatsBroker
from faststream.nats.broker.broker import UNRECOVERABLE_CONNECT_ERRORS
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.js import JetStreamContext

from libs.bus import envelope, subjects
from libs.bus.auth import permissions
from libs.bus.client.bounded_subscription import BoundedSubscription
from libs.bus.client.flush import flush_all
from libs.bus.client.message import Message
from libs.bus.client.ping_workaround import ignore_cancelled_pongs
from libs.bus.client.publisher import JetStreamPublisher
from libs.bus.errors import BusError, as_bus_errors, describe
from libs.model.requests.base import RpcRequest
from libs.model.requests.errors import ErrorCode, RequestError

R = TypeVar("R")

REPLY_HEADER = "Vedette-Reply-To"

_RECONNECT_WAIT_S = 1
_PING_INTERVAL_S = 15
_PENDING_BYTES = 16 * 1024 * 1024
_GRACEFUL_TIMEOUT_S = 20.0
_DRAIN_TIMEOUT_S = 5
_JETSTREAM_TIMEOUT_S = 5.0

log = structlog.get_logger("vedette.bus")


class Bus:
    """One NATS connection. Services include their FastStream routers in `broker`; the rest are methods."""

    def __init__(
        self, broker: NatsBroker, client: Client, pipeline: JetStreamPublisher, losses: "ConnectionEvents"
    ) -> None:
        self.broker = broker
        self.client = client
        self.jetstream: JetStreamContext = client.jetstream(timeout=_JETSTREAM_TIMEOUT_S)
        self._publisher = pipeline
        self._connection_events = losses

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, *, name: str, connect_timeout_s: float = 30.0) -> AsyncIterator["Bus"]:
        """Connects, and retries while the server is still starting. On exit, stops all subscribers and drains."""
        losses = ConnectionEvents()
        broker = _broker(url, name, losses)
        with as_bus_errors(f"connect to {without_credentials(url)}"):
            async with asyncio.timeout(connect_timeout_s):
                client = await broker.connect()
                ignore_cancelled_pongs(client)
                pipeline = await JetStreamPublisher(client).open()
        losses.add_disconnect_callback(pipeline.fail_pending)
        losses.connected = True
        try:
            yield cls(broker, client, pipeline, losses)
        finally:
            losses.connected = False
            await _close(broker, client)

    async def start(self) -> None:
        """Starts the subscribers of every router included in `broker`; returns when the server has processed them."""
        with as_bus_errors("start the subscribers"):
            await self.broker.start()
            await flush_all(self.client)

    async def wait_until_lost(self) -> NoReturn:
        """Never returns; raises BusError once the connection is lost for good. Runs beside the services."""
        raise BusError(await self._connection_events.wait_until_lost())

    def on_disconnect(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Calls `callback` on each disconnect; returns a function that removes it."""
        return self._connection_events.add_disconnect_callback(callback)

    async def request(self, request: RpcRequest[R], *, timeout_s: float = 5.0) -> R:
        """Returns the reply, or raises RequestError: `unavailable` if no service replies, or not in time."""
        subject = subjects.rpc(request.verb)
        if not self.client.is_connected:
            # The client would buffer the request, and send it long after its timeout.
            raise RequestError(ErrorCode.UNAVAILABLE, "The bus is not connected at the moment.")
        try:
            reply = await self.client.request(subject, envelope.encode_request(request), timeout=timeout_s)
        except NoRespondersError as error:
            raise RequestError(ErrorCode.UNAVAILABLE, "No service answers this request at the moment.") from error
        except (NatsError, TimeoutError) as error:
            log.warning("bus.request_failed", verb=request.verb, error=describe(error))
            raise RequestError(ErrorCode.UNAVAILABLE, "The request was not answered in time.") from error
        return envelope.decode_reply(type(request), reply.data)

    async def publish(self, message: Message, *, timeout_s: float = 5.0) -> None:
        """Stores one message in its stream; BusError if that is not acknowledged in time."""
        await self._publisher.publish(message, timeout_s)

    async def publish_all(self, messages: Sequence[Message], *, timeout_s: float = 10.0) -> list[Message]:
        """Stores many messages without a round trip for each; returns those not acknowledged in time."""
        return await self._publisher.publish_all(messages, timeout_s)

    async def publish_core(self, subject: str, body: bytes) -> None:
        """Publishes to current subscribers only (core NATS): nothing is stored or acknowledged."""
        with as_bus_errors(f"publish to {subject}"):
            await self.client.publish(subject, body)

    @asynccontextmanager
    async def subscribe(self, subject: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Yields the bodies published on `subject` from now on; BusError for a reader that is too slow."""
        async with BoundedSubscription.open(self.client, subject) as subscription:
            yield (message.data async for message in subscription)

    async def publish_and_await_reply(self, message: Message, timeout_s: float) -> bytes | None:
        """Publishes a check with a reply subject; returns the reply, or None if none comes in time."""
        reply_to = subjects.check_reply(secrets.token_hex(16))  # not guessable
        headers = {**message.headers, REPLY_HEADER: reply_to}
        async with BoundedSubscription.open(self.client, reply_to) as subscription:
            await self.publish(Message(message.subject, message.body, message.id, headers))
            try:
                async with asyncio.timeout(timeout_s):
                    return (await anext(subscription)).data
            except TimeoutError:
                return None


class ConnectionEvents:
    """Callbacks of the NATS client: disconnects, and errors after which it does not reconnect."""

    def __init__(self) -> None:
        self.connected = False
        self._callbacks: set[Callable[[], None]] = set()
        self._lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def add_disconnect_callback(self, callback: Callable[[], None]) -> Callable[[], None]:
        self._callbacks.add(callback)
        return lambda: self._callbacks.discard(callback)

    async def wait_until_lost(self) -> str:
        return await asyncio.shield(self._lost)

    async def on_disconnected(self) -> None:
        for callback in list(self._callbacks):
            callback()

    async def on_closed(self) -> None:
        self._set_lost("the connection was closed")

    async def on_error(self, error: Exception) -> None:
        """Detects the errors that FastStream raises again in the client's own task, which then never reconnects."""
        if describe(error).strip("'").lower() in UNRECOVERABLE_CONNECT_ERRORS:
            self._set_lost(describe(error))

    def _set_lost(self, why: str) -> None:
        if self.connected and not self._lost.done():
            self._lost.set_result(f"NATS: {why}")


def _broker(url: str, name: str, losses: ConnectionEvents) -> NatsBroker:
    return NatsBroker(
        url.split(","),
        name=name,
        max_reconnect_attempts=-1,
        reconnect_time_wait=_RECONNECT_WAIT_S,
        ping_interval=_PING_INTERVAL_S,
        max_outstanding_pings=2,
        pending_size=_PENDING_BYTES,
        inbox_prefix=permissions.inbox_prefix(url_user(url)),
        drain_timeout=_DRAIN_TIMEOUT_S,
        graceful_timeout=_GRACEFUL_TIMEOUT_S,
        serializer=MsgSpecSerializer(),
        logger=logging.getLogger("vedette.faststream"),
        log_level=logging.DEBUG,
        disconnected_cb=losses.on_disconnected,
        closed_cb=losses.on_closed,
        error_cb=losses.on_error,
    )


async def _close(broker: NatsBroker, client: Client) -> None:
    try:
        async with asyncio.timeout(_GRACEFUL_TIMEOUT_S + 2 * _DRAIN_TIMEOUT_S):
            await broker.stop()
    except (NatsError, TimeoutError, OSError) as error:
        log.warning("bus.drain_failed", error=describe(error))
    with suppress(NatsError, OSError):  # the connection may be lost already
        await client.close()


def url_user(urls: str) -> str:
    """Returns the user in the first of `urls`, which are separated by commas; empty if there is none."""
    return unquote(urlsplit(urls.split(",", maxsplit=1)[0]).username or "")


def without_credentials(urls: str) -> str:
    """Returns `urls` without users and passwords, for logs and error messages."""
    return ",".join(_url_without_credentials(url) for url in urls.split(","))


def _url_without_credentials(url: str) -> str:
    scheme, _, rest = url.rpartition("://")
    return f"{scheme or 'nats'}://{rest.rpartition('@')[2]}"
