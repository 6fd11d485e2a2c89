"""What goes onto the bus: a subject, a body, and for JetStream an id that makes a repeat harmless."""

import msgspec

MSG_ID_HEADER = "Nats-Msg-Id"


class Message(msgspec.Struct, frozen=True):
    """One message to publish. With an `id`, the server drops a repeat within the stream's duplicate window."""

    subject: str
    body: bytes
    id: str | None = None
    headers: dict[str, str] = {}


def wire_headers(message: Message) -> dict[str, str] | None:
    """Returns the headers as they are sent, or None, which is cheaper than an empty block."""
    if message.id is not None:
        return {**message.headers, MSG_ID_HEADER: message.id}
    return message.headers or None
