"""Pull consumer based on long polling.

nats-py's own `fetch` costs a task and a UUID for each message, may miss a message that is available, and busy-loops
silently when the consumer is missing. Here one request at a time asks for up to a batch. The server sends messages as
they are stored, and its idle heartbeats distinguish an idle consumer from a lost request.
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

from libs.bus.client.flush import flush_all
from libs.bus.client.stored_message import StoredMessage, nak_all
from libs.bus.errors import describe

REQUEST_EXPIRES_S = 30.0
HEARTBEAT_S = 1.0
SILENCE_S_MAX = 3.0
PAUSE_S_MIN = 0.2
PAUSE_S_MAX = 2.0

_NS = 1_000_000_000
_STATUS_HEARTBEAT = "100"
_STATUSES_ENDED = frozenset({"404", "408"})  # no messages, or expired: the normal end of a request
_STATUS_CONFLICT = "409"

log = structlog.get_logger("vedette.bus")


class PullConsumer:
    """Messages of one consumer. Buffers at most one batch that the caller has not fetched yet."""

    def __init__(self, client: Client, stream: str, consumer: str, batch_size: int) -> None:
        self._client = client
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
        self._consumer = consumer
        self._batch_size = batch_size
        self._inbox = client.new_inbox()
        self._request_ids = itertools.count(1)
        self._request_subject = ""
        self._outstanding = 0  # messages that the current request may still deliver
        self._buffered: deque[Msg] = deque()
        self._wakeup = asyncio.Event()
        self._received_at = 0.0
        self._pause_s = 0.0
        self._subscription: Subscription | None = None

    async def open(self) -> None:
        self._subscription = await self._client.subscribe(f"{self._inbox}.*", cb=self._on_message)

    async def next_batch(self, linger_s: float) -> list[Msg]:
        """Waits for messages; returns all that arrive within `linger_s` of the first, at most a batch."""
        while not self._buffered:
            await self._wait_for_more()
        if linger_s > 0:
            await self._fill_batch(linger_s)
        size = min(len(self._buffered), self._batch_size)
        return [self._buffered.popleft() for _ in range(size)]

    async def unsubscribe(self) -> None:
        """Stops pulling, and naks the buffered messages, so that another process receives them at once."""
        await self.close()
        await nak_all(StoredMessage(message) for message in self._buffered)
        self._buffered.clear()

    async def close(self) -> None:
        """Stops pulling; the buffer stays."""
        if self._subscription is None:
            return
        subscription, self._subscription = self._subscription, None
        try:
            # After the flush no more messages arrive. `drain` alone stops reading before the server has processed its UNSUB.
            await self._client._send_unsubscribe(subscription._id)  # noqa: SLF001
            await flush_all(self._client)
            await subscription.drain()  # type: ignore[no-untyped-call]  # not annotated in nats-py
        except (NatsError, TimeoutError, OSError) as error:
            log.warning("bus.unsubscribe_failed", consumer=self._consumer, error=describe(error))

    async def _wait_for_more(self) -> None:
        self._wakeup.clear()  # before the request: a message that arrives meanwhile must set it
        loop = asyncio.get_running_loop()
        if self._outstanding > 0 and loop.time() - self._received_at > SILENCE_S_MAX:
            self._outstanding = 0  # the request was lost with its connection or with the leader
        if self._outstanding <= 0:
            await self._request_batch()
        try:
            async with asyncio.timeout(HEARTBEAT_S):
                await self._wakeup.wait()
        except TimeoutError:
            pass

    async def _request_batch(self) -> None:
        if self._pause_s > 0:
            await asyncio.sleep(self._pause_s)
        self._request_subject = f"{self._inbox}.{next(self._request_ids)}"
        self._outstanding = self._batch_size
        self._received_at = asyncio.get_running_loop().time()
        request = {
            "batch": self._batch_size,
            "expires": int(REQUEST_EXPIRES_S * _NS),
            "idle_heartbeat": int(HEARTBEAT_S * _NS),
        }
        try:
            await self._client.publish(self._subject, msgspec.json.encode(request), reply=self._request_subject)
        except NatsError as error:
            self._request_failed(describe(error))

    async def _fill_batch(self, linger_s: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + linger_s
        while len(self._buffered) < self._batch_size and self._outstanding > 0 and loop.time() < deadline:
            self._wakeup.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._wakeup.wait()
            except TimeoutError:
                return

    async def _on_message(self, message: Msg) -> None:
        self._received_at = asyncio.get_running_loop().time()
        if not message.subject.startswith(self._inbox):
            self._outstanding -= 1
            self._pause_s = 0.0
            self._buffered.append(message)
            self._wakeup.set()
            return
        status = (message.headers or {}).get("Status", "")
        if status != _STATUS_HEARTBEAT and message.subject == self._request_subject:
            self._request_ended(status, (message.headers or {}).get("Description", ""))

    def _request_ended(self, status: str, description: str) -> None:
        self._outstanding = 0
        if status in _STATUSES_ENDED or (status == _STATUS_CONFLICT and description.startswith("Batch Completed")):
            self._pause_s = 0.0
        else:
            self._request_failed(f"{status} {description}".strip())
        self._wakeup.set()

    def _request_failed(self, why: str) -> None:
        """Backs off before the next request. Logs the first failure of a series only."""
        self._outstanding = 0
        if self._pause_s == 0:
            log.warning("bus.pull_failed", consumer=self._consumer, answer=why)
        self._pause_s = min(max(self._pause_s * 2, PAUSE_S_MIN), PAUSE_S_MAX)
