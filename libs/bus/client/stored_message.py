"""JetStream message as delivered by a consumer, with its acknowledgements."""

from collections.abc import Iterable
from datetime import datetime

import structlog
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from libs.bus.errors import describe

log = structlog.get_logger("vedette.bus")


class StoredMessage:
    """One message of a consumer.

    The acknowledgements never raise: a message whose acknowledgement is lost is delivered again, which is harmless.
    """

    __slots__ = ("_message",)

    def __init__(self, message: Msg) -> None:
        self._message = message

    @property
    def subject(self) -> str:
        return self._message.subject

    @property
    def data(self) -> bytes:
        return self._message.data

    @property
    def headers(self) -> dict[str, str]:
        return self._message.headers or {}

    @property
    def stream(self) -> str:
        return self._message.metadata.stream

    @property
    def seq(self) -> int:
        """The sequence number of the message in its stream."""
        return self._message.metadata.sequence.stream

    @property
    def stored_at(self) -> datetime:
        return self._message.metadata.timestamp

    @property
    def times_delivered(self) -> int:
        return self._message.metadata.num_delivered

    async def ack(self) -> None:
        """Acknowledges the message: it is processed."""
        await self._send_ack(b"")

    async def nak(self, delay: float | None = None) -> None:
        """Requests a redelivery, to any subscriber of the consumer: at once, or after `delay` seconds."""
        await self._send_ack(b"-NAK" if delay is None else b'-NAK {"delay": %d}' % int(delay * 1_000_000_000))

    async def term(self) -> None:
        """Ends the deliveries of the message."""
        await self._send_ack(b"+TERM")

    async def _send_ack(self, ack: bytes) -> None:
        try:
            await self._message._client.publish(self._message.reply, ack)  # noqa: SLF001 as Msg.ack does
        except NatsError as error:
            log.warning("bus.ack_failed", subject=self.subject, ack=ack.decode(), error=describe(error))


async def nak_all(messages: Iterable[StoredMessage]) -> None:
    """Returns messages to their consumer, which delivers them at once to another process."""
    for message in messages:
        await message.nak()
