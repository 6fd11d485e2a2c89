"""The connection of one process to NATS, with the few verbs that the rest of the house uses."""

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

from libs.bus import envelope, grants, subjects
from libs.bus.barrier import barrier
from libs.bus.errors import BusError, as_bus_errors, describe
from libs.bus.inbox import Inbox
from libs.bus.message import Message
from libs.bus.pipeline import Pipeline
from libs.bus.pongs import outlive_cancelled_flushes
from libs.model.refusal import RefusalCode, RefusedError
from libs.model.request import Request

R = TypeVar("R")

REPLY_HEADER = "Vedette-Reply-To"

_RECONNECT_WAIT_S = 1
_PING_INTERVAL_S = 15
_PENDING_BYTES = 16 * 1024 * 1024
_GRACE_S = 20.0
_DRAIN_TIMEOUT_S = 5
_API_TIMEOUT_S = 5.0

log = structlog.get_logger("vedette.bus")


class Bus:
    """One connection. Services hang their FastStream routers on `broker`; everything else goes through the methods."""

    def __init__(self, broker: NatsBroker, client: Client, pipeline: Pipeline, losses: "Losses") -> None:
        self.broker = broker
        self.client = client
        self.jetstream: JetStreamContext = client.jetstream(timeout=_API_TIMEOUT_S)
        self._pipeline = pipeline
        self._losses = losses

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str, *, name: str, connect_timeout_s: float = 30.0) -> AsyncIterator["Bus"]:
        """Connects, waiting for a server that is still starting; at the end stops all subscribers and drains."""
        losses = Losses()
        broker = _broker(url, name, losses)
        with as_bus_errors(f"connect to {without_credentials(url)}"):
            async with asyncio.timeout(connect_timeout_s):
                client = await broker.connect()
                outlive_cancelled_flushes(client)
                pipeline = await Pipeline(client).open()
        losses.add(pipeline.fail)
        losses.connected = True
        try:
            yield cls(broker, client, pipeline, losses)
        finally:
            losses.connected = False
            await _close(broker, client)

    async def start(self) -> None:
        """Starts the subscribers of every router that was included in `broker`; then the server knows them."""
        with as_bus_errors("start the subscribers"):
            await self.broker.start()
            await barrier(self.client)

    async def lost(self) -> NoReturn:
        """Returns never; raises BusError once the connection is gone for good. Run it beside the service."""
        raise BusError(await self._losses.fatal())

    def on_disconnect(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Calls `callback` whenever the connection breaks; returns what takes it off again."""
        return self._losses.add(callback)

    async def ask(self, request: Request[R], *, timeout_s: float = 5.0) -> R:
        """Returns the reply, or raises RefusedError: `unavailable` when nobody answers, or not in time."""
        subject = subjects.rpc(request.verb)
        if not self.client.is_connected:
            # The client would hold the request back, and send it when whoever asked has long been refused.
            raise RefusedError(RefusalCode.UNAVAILABLE, "The bus is not connected at the moment.")
        try:
            answer = await self.client.request(subject, envelope.encode_request(request), timeout=timeout_s)
        except NoRespondersError as error:
            raise RefusedError(RefusalCode.UNAVAILABLE, "No service answers this request at the moment.") from error
        except (NatsError, TimeoutError) as error:
            log.warning("bus.ask_failed", verb=request.verb, error=describe(error))
            raise RefusedError(RefusalCode.UNAVAILABLE, "The request was not answered in time.") from error
        return envelope.open_reply(type(request), answer.data)

    async def publish(self, message: Message, *, timeout_s: float = 5.0) -> None:
        """Stores one message in its stream; BusError when that is not confirmed in time."""
        await self._pipeline.publish(message, timeout_s)

    async def publish_all(self, messages: Sequence[Message], *, timeout_s: float = 10.0) -> list[Message]:
        """Stores many messages without waiting in between; returns those that were not confirmed in time."""
        return await self._pipeline.publish_all(messages, timeout_s)

    async def announce(self, subject: str, body: bytes) -> None:
        """Tells whoever listens right now; nothing is stored or confirmed."""
        with as_bus_errors(f"announce on {subject}"):
            await self.client.publish(subject, body)

    @asynccontextmanager
    async def listen(self, subject: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """Yields the bodies announced on `subject` from now on; BusError for a reader that falls too far behind."""
        async with Inbox.open(self.client, subject) as inbox:
            yield (message.data async for message in inbox)

    async def await_reply(self, message: Message, timeout_s: float) -> bytes | None:
        """Publishes a check that a prober answers to a subject of our own; None when no answer comes in time."""
        reply_to = subjects.answer(secrets.token_hex(16))  # nobody else can guess it
        headers = {**message.headers, REPLY_HEADER: reply_to}
        async with Inbox.open(self.client, reply_to) as inbox:
            await self.publish(Message(message.subject, message.body, message.id, headers))
            try:
                async with asyncio.timeout(timeout_s):
                    return (await anext(inbox)).data
            except TimeoutError:
                return None


class Losses:
    """Hears from the client that the connection broke, and tells everybody who cares."""

    def __init__(self) -> None:
        self.connected = False
        self._callbacks: set[Callable[[], None]] = set()
        self._fatal: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def add(self, callback: Callable[[], None]) -> Callable[[], None]:
        self._callbacks.add(callback)
        return lambda: self._callbacks.discard(callback)

    async def fatal(self) -> str:
        return await asyncio.shield(self._fatal)

    async def on_disconnected(self) -> None:
        for callback in list(self._callbacks):
            callback()

    async def on_closed(self) -> None:
        self._give_up("the connection was closed")

    async def on_error(self, error: Exception) -> None:
        """FastStream raises these again inside the client's own task, which then never reconnects."""
        if describe(error).strip("'").lower() in UNRECOVERABLE_CONNECT_ERRORS:
            self._give_up(describe(error))

    def _give_up(self, why: str) -> None:
        if self.connected and not self._fatal.done():
            self._fatal.set_result(f"NATS: {why}")


def _broker(url: str, name: str, losses: Losses) -> NatsBroker:
    return NatsBroker(
        url.split(","),
        name=name,
        max_reconnect_attempts=-1,
        reconnect_time_wait=_RECONNECT_WAIT_S,
        ping_interval=_PING_INTERVAL_S,
        max_outstanding_pings=2,
        pending_size=_PENDING_BYTES,
        inbox_prefix=grants.inbox(user_of(url)),
        drain_timeout=_DRAIN_TIMEOUT_S,
        graceful_timeout=_GRACE_S,
        serializer=MsgSpecSerializer(),
        logger=logging.getLogger("vedette.faststream"),
        log_level=logging.DEBUG,
        disconnected_cb=losses.on_disconnected,
        closed_cb=losses.on_closed,
        error_cb=losses.on_error,
    )


async def _close(broker: NatsBroker, client: Client) -> None:
    try:
        async with asyncio.timeout(_GRACE_S + 2 * _DRAIN_TIMEOUT_S):
            await broker.stop()
    except (NatsError, TimeoutError, OSError) as error:
        log.warning("bus.drain_failed", error=describe(error))
    with suppress(NatsError, OSError):  # a server that is gone takes no farewell
        await client.close()


def user_of(urls: str) -> str:
    """Returns the user in the first of `urls`; empty if there is none."""
    return unquote(urlsplit(urls.split(",", maxsplit=1)[0]).username or "")


def without_credentials(urls: str) -> str:
    """Returns `urls` for people to see."""
    return ",".join(_one_without_credentials(url) for url in urls.split(","))


def _one_without_credentials(url: str) -> str:
    scheme, _, rest = url.rpartition("://")
    return f"{scheme or 'nats'}://{rest.rpartition('@')[2]}"
