"""FastStream batch subscribers on durable consumers that Vedette has provisioned itself.

How a batch reaches its handler, `CheckRunner.start_checks` of the prober for example:

1. `batch_subscriber` makes an ordinary FastStream batch subscriber on a router, and registers `handler` on it.
2. It then sets `subscriber.__class__` to `DurableBatchSubscriber`, because FastStream offers no extension point: the
   router's factory chooses the class. The assignment is allowed because a base class has no `__slots__`, so that both
   classes have the same memory layout; `configure` sets the additional attributes.
3. `Bus.start` starts the subscribers. FastStream then calls the private method `_create_subscription`, which starts the
   task `_consume_pull`. Both are overridden to fetch with `PullConsumer`, because FastStream's own loop spins while
   the consumer is missing, and creates a consumer with settings of its own (README.md, "Pulling").
4. `_consume_pull` passes each batch to FastStream's `consume`, with the decoder `_raw_decoder`, which wraps each
   message in a `StoredMessage` and parses nothing. With `AckPolicy.MANUAL` the handler acknowledges every message.
5. `stop` calls `on_stop`, waits for the batch in progress, and unsubscribes: `PullConsumer.unsubscribe` naks what it
   has fetched and not passed on, so that another process receives it at once.
"""

from collections.abc import Awaitable, Callable
from typing import Any, cast

from faststream import AckPolicy
from faststream.nats import JStream, NatsRouter, PullSub
from faststream.nats.subscriber.usecases import BatchPullStreamSubscriber

from libs.bus.client.pull_consumer import PullConsumer
from libs.bus.client.stored_message import StoredMessage, nak_all

BatchHandler = Callable[[list[StoredMessage]], Awaitable[None]]


def batch_subscriber(  # noqa: PLR0913 each is one property of the subscription
    router: NatsRouter,
    stream: str,
    consumer: str,
    handler: BatchHandler,
    *,
    batch_size: int,
    linger_s: float = 0.0,
    on_stop: Callable[[], None] = lambda: None,
) -> None:
    """Passes the messages of an existing durable consumer to `handler`, one batch at a time.

    The handler acknowledges the messages. `on_stop` is called when no more batches will come, before the last one is
    waited for.
    """
    subscriber = router.subscriber(
        config=None,
        subject=f"{stream}.{consumer}",  # a label only: the consumer has its own filter
        stream=JStream(stream, declare=False),
        durable=consumer,
        pull_sub=PullSub(batch_size=batch_size, timeout=linger_s or None, batch=True),
        ack_policy=AckPolicy.MANUAL,
        decoder=_raw_decoder,
    )

    async def handle(messages: Any) -> None:
        await handler(messages)

    subscriber(handle)
    _to_durable(subscriber).configure(consumer, linger_s, on_stop)


class DurableBatchSubscriber(BatchPullStreamSubscriber):
    """A batch subscriber that pauses while its consumer is missing, and never creates a consumer."""

    _consumer: str
    _linger_s: float
    _on_stop: Callable[[], None]
    _puller: PullConsumer

    def configure(self, consumer: str, linger_s: float, on_stop: Callable[[], None]) -> None:
        self._consumer = consumer
        self._linger_s = linger_s
        self._on_stop = on_stop

    async def stop(self) -> None:
        self._on_stop()
        await super().stop()

    async def _create_subscription(self) -> None:
        if self.subscription:
            return
        self._puller = PullConsumer(self.connection, self.stream.name, self._consumer, self.pull_sub.batch_size)
        await self._puller.open()
        self.subscription = self._puller  # type: ignore[assignment]  # FastStream calls unsubscribe() only
        self.add_task(self._consume_pull)

    async def _consume_pull(self) -> None:
        while self.running:
            messages = await self._puller.next_batch(self._linger_s)
            if not self.running:
                await nak_all(StoredMessage(message) for message in messages)
                return
            await self.consume(messages)


def _to_durable(subscriber: BatchPullStreamSubscriber) -> DurableBatchSubscriber:
    # FastStream's factory accepts no subscriber class: see the module's docstring.
    subscriber.__class__ = DurableBatchSubscriber
    return cast("DurableBatchSubscriber", subscriber)


async def _raw_decoder(message: Any) -> Any:
    return [StoredMessage(raw) for raw in message.raw_message]
