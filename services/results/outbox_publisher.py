"""The outbox onto the bus: what a transaction decided to tell is published until the bus has it."""

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
    """Empties the outbox. One process at a time does it; a repeat after a crash is recognised by its id."""

    def __init__(self, store: Store, bus: Bus) -> None:
        self._store = store
        self._bus = bus
        self._metrics = ResultsMetrics()

    async def publish(self) -> bool:
        """Publishes what waits, once; what the bus refuses keeps its place and holds nothing else up."""
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
        return [place for place, message in messages.items() if id(message) not in rejected]


def _message(waiting: OutboxRow) -> Message:
    message = waiting.message
    return Message(message.subject, message.body, message.msg_id or None, message.headers)
