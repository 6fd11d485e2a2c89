"""FastStream subscribers that take batches from a consumer which we provisioned ourselves."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

from faststream import AckPolicy
from faststream.nats import JStream, NatsRouter, PullSub
from faststream.nats.subscriber.usecases import BatchPullStreamSubscriber

from libs.bus.client.pull_consumer import PullConsumer
from libs.bus.client.stored_message import StoredMessage, nak_all

BatchHandler = Callable[[list[StoredMessage]], Awaitable[None]]


def batch_subscriber(  # noqa: PLR0913 each is one fact about the subscription
    router: NatsRouter,
    stream: str,
    consumer: str,
    handler: BatchHandler,
    *,
    batch_size: int,
    linger_s: float = 0.0,
    on_stop: Callable[[], None] = lambda: None,
) -> None:
    """Hands the messages of an existing durable consumer to `handler`, one batch at a time.

    Nothing is acknowledged for the handler. `on_stop` is called when no more batches will come, before the
    last one is waited for.
    """
    subscriber = router.subscriber(
        config=None,
        subject=f"{stream}.{consumer}",  # only a name here: the consumer has its own filter
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
    """A batch subscriber that pauses when its consumer is gone, and never creates a consumer by itself."""

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
        self.subscription = self._puller  # type: ignore[assignment]  # all that is asked of it is unsubscribe()
        self.add_task(self._consume_pull)

    async def _consume_pull(self) -> None:
        while self.running:
            messages = await self._puller.next_batch(self._linger_s)
            if not self.running:
                await nak_all(StoredMessage(message) for message in messages)
                return
            await self.consume(messages)


def _to_durable(subscriber: BatchPullStreamSubscriber) -> DurableBatchSubscriber:
    # FastStream's factory has no seam for a subscriber class of one's own.
    subscriber.__class__ = DurableBatchSubscriber
    return cast("DurableBatchSubscriber", subscriber)


async def _raw_decoder(message: Any) -> Any:
    return [StoredMessage(raw) for raw in message.raw_message]
