"""Messages that nobody can read are set aside with the reason, so that they block nothing and a person can look."""

from libs.bus import subjects
from libs.bus.bus import Bus
from libs.bus.delivery import Delivery
from libs.bus.message import Message

REASON = "Vedette-Reason"
SUBJECT = "Vedette-Subject"


async def set_aside(bus: Bus, message: Delivery, reason: str) -> None:
    """Copies a stored message to the ASIDE stream, once however often it is delivered. The caller then ends it."""
    identity = f"{message.stream}/{message.seq}/{message.stored_at.timestamp():.6f}"
    headers = {REASON: _printable(reason), SUBJECT: message.subject}
    await bus.publish(Message(subjects.aside(message.stream), message.data, identity, headers))


def _printable(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode().replace("\r", " ").replace("\n", " ")[:500]
