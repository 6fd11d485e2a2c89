"""Core NATS subscription with a bounded buffer, which fails when the buffer overflows."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Self

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from libs.bus.client.flush import flush_all
from libs.bus.errors import BusError, as_bus_errors

BUFFER_MAX = 1000


class BoundedSubscription:
    """Messages of one or several core subscriptions in the order of arrival."""

    def __init__(self, buffer_max: int) -> None:
        self._buffer: deque[tuple[float, Msg]] = deque()
        self._buffer_max = buffer_max
        self._wakeup = asyncio.Event()
        self._failure: str | None = None
        self.received_at = 0.0  # arrival of the message that was read last, in the loop's time

    @classmethod
    @asynccontextmanager
    async def open(
        cls, client: Client, *subject: str, buffer_max: int = BUFFER_MAX
    ) -> AsyncIterator["BoundedSubscription"]:
        bounded = cls(buffer_max)
        subscriptions: list[Subscription] = []
        try:
            with as_bus_errors(f"subscribe to {', '.join(subject)}"):
                for name in subject:
                    subscriptions.append(await client.subscribe(name, cb=bounded.on_message))  # noqa: PERF401 those made before a failure must be in the list
                await flush_all(client)
            yield bounded
        finally:
            for subscription in subscriptions:
                with suppress(NatsError):  # the subscription ended with the connection
                    await subscription.unsubscribe()

    async def on_message(self, message: Msg) -> None:
        if self._failure is not None:
            return
        if len(self._buffer) >= self._buffer_max:
            self.fail("the reader is too slow")
            return
        self._buffer.append((asyncio.get_running_loop().time(), message))
        self._wakeup.set()

    def fail(self, why: str) -> None:
        """Ends the iteration with a BusError, after the buffered messages."""
        self._failure = self._failure or why
        self._wakeup.set()

    def clear(self) -> None:
        """Drops the buffer and the failure; the caller fetches missing messages from the stream."""
        self._buffer.clear()
        self._failure = None

    @property
    def failed(self) -> bool:
        return self._failure is not None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Msg:
        while not self._buffer:
            if self._failure is not None:
                raise BusError(self._failure)
            self._wakeup.clear()
            await self._wakeup.wait()
        self.received_at, message = self._buffer.popleft()
        return message
