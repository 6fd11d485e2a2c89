"""Pulling from a JetStream consumer by long polls.

The client's own `fetch` costs a task and a UUID for each message, may sleep through a message that is there, and
hides a missing consumer behind a loop without a pause. Here one request at a time asks for up to a batch, the server
sends messages as they come, and its heartbeats tell a quiet consumer from a lost request.
"""

import asyncio
import itertools
from collections import deque

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from libs.bus.barrier import barrier
from libs.bus.delivery import Delivery, give_back
from libs.bus.errors import describe

EXPIRES_S = 30.0
HEARTBEAT_S = 1.0
SILENCE_S = 3.0
PAUSE_S_MIN = 0.2
PAUSE_S_MAX = 2.0

_NS = 1_000_000_000
_HEARTBEAT = "100"
_ENDED = frozenset({"404", "408"})  # nothing came: the ordinary end of a request
_OVER_FULL = "409"

log = structlog.get_logger("vedette.bus")


class Pull:
    """Messages of one consumer. At most one batch is held that the caller has not taken."""

    def __init__(self, client: Client, stream: str, consumer: str, batch_size: int) -> None:
        self._client = client
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._consumer = consumer
        self._batch_size = batch_size
        self._inbox = client.new_inbox()
        self._requests = itertools.count(1)
        self._request = ""
        self._due = 0  # messages that the present request may still bring
        self._held: deque[Msg] = deque()
        self._stir = asyncio.Event()
        self._heard_at = 0.0
        self._pause_s = 0.0
        self._subscription: Subscription | None = None

    async def open(self) -> None:
        self._subscription = await self._client.subscribe(f"{self._inbox}.*", cb=self._on_message)

    async def batch(self, linger_s: float) -> list[Msg]:
        """Waits for messages; returns all that are there `linger_s` after the first, at most a batch."""
        while not self._held:
            await self._wait_for_more()
        if linger_s > 0:
            await self._linger(linger_s)
        size = min(len(self._held), self._batch_size)
        return [self._held.popleft() for _ in range(size)]

    async def unsubscribe(self) -> None:
        """Takes no more, and gives back what nobody has taken, so that another process gets it at once."""
        await self.close()
        await give_back(Delivery(message) for message in self._held)
        self._held.clear()

    async def close(self) -> None:
        """Takes no more."""
        if self._subscription is None:
            return
        subscription, self._subscription = self._subscription, None
        try:
            # Behind this nothing comes any more. `drain` alone would look away before its own words have arrived.
            await self._client._send_unsubscribe(subscription._id)  # noqa: SLF001
            await barrier(self._client)
            await subscription.drain()  # type: ignore[no-untyped-call]  # nats-py leaves it bare
        except (NatsError, TimeoutError, OSError) as error:
            log.warning("bus.unsubscribe_failed", consumer=self._consumer, error=describe(error))

    async def _wait_for_more(self) -> None:
        self._stir.clear()  # before asking: what comes meanwhile must wake us
        loop = asyncio.get_running_loop()
        if self._due > 0 and loop.time() - self._heard_at > SILENCE_S:
            self._due = 0  # the request was lost with a connection or a leader
        if self._due <= 0:
            await self._ask()
        try:
            async with asyncio.timeout(HEARTBEAT_S):
                await self._stir.wait()
        except TimeoutError:
            pass

    async def _ask(self) -> None:
        if self._pause_s > 0:
            await asyncio.sleep(self._pause_s)
        self._request = f"{self._inbox}.{next(self._requests)}"
        self._due = self._batch_size
        self._heard_at = asyncio.get_running_loop().time()
        request = {
            "batch": self._batch_size,
            "expires": int(EXPIRES_S * _NS),
            "idle_heartbeat": int(HEARTBEAT_S * _NS),
        }
        try:
            await self._client.publish(self._subject, msgspec.json.encode(request), reply=self._request)
        except NatsError as error:
            self._failed(describe(error))

    async def _linger(self, linger_s: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + linger_s
        while len(self._held) < self._batch_size and self._due > 0 and loop.time() < deadline:
            self._stir.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._stir.wait()
            except TimeoutError:
                return

    async def _on_message(self, message: Msg) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        if not message.subject.startswith(self._inbox):
            self._due -= 1
            self._pause_s = 0.0
            self._held.append(message)
            self._stir.set()
            return
        status = (message.headers or {}).get("Status", "")
        if status != _HEARTBEAT and message.subject == self._request:
            self._ended(status, (message.headers or {}).get("Description", ""))

    def _ended(self, status: str, description: str) -> None:
        self._due = 0
        if status in _ENDED or (status == _OVER_FULL and description.startswith("Batch Completed")):
            self._pause_s = 0.0
        else:
            self._failed(f"{status} {description}".strip())
        self._stir.set()

    def _failed(self, why: str) -> None:
        """Slows down, and says so once: the guard of the consumer mends it, or the connection comes back."""
        self._due = 0
        if self._pause_s == 0:
            log.warning("bus.pull_refused", consumer=self._consumer, answer=why)
        self._pause_s = min(max(self._pause_s * 2, PAUSE_S_MIN), PAUSE_S_MAX)
