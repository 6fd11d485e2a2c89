"""Dead letters: copies of messages that cannot be decoded, kept with the reason for inspection."""

from libs.bus import subjects
from libs.bus.client.message import Message
from libs.bus.client.stored_message import StoredMessage
from libs.bus.connection import Bus

REASON_HEADER = "Vedette-Reason"
SUBJECT_HEADER = "Vedette-Subject"


async def publish_dead_letter(bus: Bus, message: StoredMessage, reason: str) -> None:
    """Copies a stored message to the dead-letter stream, once for all its deliveries.

    The caller then terminates the original.
    """
    identity = f"{message.stream}/{message.seq}/{message.stored_at.timestamp():.6f}"
    headers = {REASON_HEADER: _printable(reason), SUBJECT_HEADER: message.subject}
    await bus.publish(Message(subjects.dead_letter(message.stream), message.data, identity, headers))


def _printable(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode().replace("\r", " ").replace("\n", " ")[:500]
