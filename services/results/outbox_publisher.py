"""Publisher of the transactional outbox: sends each message until the bus has accepted it."""

from collections.abc import Sequence

import structlog

from libs.bus.client.message import Message
from libs.bus.connection import Bus
from libs.store.core import outbox
from libs.store.core.locks import AdvisoryLock, try_acquire
from libs.store.core.outbox import OutboxRow
from libs.store.core.pool import Store
from services.results.metrics import ResultsMetrics

_PAGE_SIZE = 500
_TIMEOUT_S = 5.0

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class OutboxPublisher:
    """Empties the outbox, one process at a time. NATS recognizes a repeat after a crash by its message id."""

    def __init__(self, store: Store, bus: Bus) -> None:
        self._store = store
        self._bus = bus
        self._metrics = ResultsMetrics()

    async def publish(self) -> bool:
        """Publishes each row message once. A refused one stays and does not delay the others.

        Raises TimeoutError if the bus refused any.
        """
        after, refused = 0, 0
        while True:
            async with self._store.transaction() as db:
                if not await try_acquire(db, AdvisoryLock.OUTBOX):
                    return False
                page = await outbox.page(db, after, _PAGE_SIZE)
                accepted = await self._publish_page(page)
                await outbox.delete(db, accepted)
            refused += len(page) - len(accepted)
            if len(page) < _PAGE_SIZE or not accepted:
                break
            after = page[-1].id
        self._metrics.outbox.set(refused)
        if refused:
            raise TimeoutError(f"{refused} messages of the outbox were not accepted")
        return False

    async def _publish_page(self, page: Sequence[OutboxRow]) -> list[int]:
        messages = {each.id: _message(each) for each in page}
        refused = await self._bus.publish_all(list(messages.values()), timeout_s=_TIMEOUT_S)
        rejected = {id(message) for message in refused}
        return [row_id for row_id, message in messages.items() if id(message) not in rejected]


def outbox_message(message: Message) -> outbox.OutboxMessage:
    """Returns the outbox form of a bus message."""
    return outbox.OutboxMessage(
        subject=message.subject, body=message.body, msg_id=message.id or "", headers=message.headers
    )


def _message(row: OutboxRow) -> Message:
    message = row.message
    return Message(message.subject, message.body, message.msg_id or None, message.headers)
