"""The outbox onto the bus: what a transaction decided to tell is published until the bus has it."""

from collections.abc import Sequence

import structlog

from libs.bus.bus import Bus
from libs.bus.message import Message
from libs.store import outbox
from libs.store.locks import Lock, try_hold
from libs.store.outbox import Waiting
from libs.store.pool import Store
from services.results.pipeline.meter import Meter

_PAGE = 500
_TIMEOUT_S = 5.0

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Relay:
    """Empties the outbox. One process at a time does it; a repeat after a crash is recognised by its id."""

    def __init__(self, store: Store, bus: Bus) -> None:
        self._store = store
        self._bus = bus
        self._meter = Meter()

    async def work(self) -> bool:
        """Publishes what waits, once; what the bus refuses keeps its place and holds nothing else up."""
        after, refused = 0, 0
        while True:
            async with self._store.transaction() as db:
                if not await try_hold(db, Lock.RELAY):
                    return False
                page = await outbox.page(db, after, _PAGE)
                accepted = await self._publish(page)
                await outbox.delete(db, accepted)
            refused += len(page) - len(accepted)
            if len(page) < _PAGE or not accepted:
                break
            after = page[-1].id
        self._meter.outbox.set(refused)
        if refused:
            raise TimeoutError(f"{refused} messages of the outbox were not accepted")
        return False

    async def _publish(self, page: Sequence[Waiting]) -> list[int]:
        messages = {each.id: _message(each) for each in page}
        refused = await self._bus.publish_all(list(messages.values()), timeout_s=_TIMEOUT_S)
        rejected = {id(message) for message in refused}
        return [place for place, message in messages.items() if id(message) not in rejected]


def _message(waiting: Waiting) -> Message:
    message = waiting.message
    return Message(message.subject, message.body, message.msg_id or None, message.headers)
