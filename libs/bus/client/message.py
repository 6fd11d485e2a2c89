"""Message to publish: subject, body, headers, and an id for deduplication by JetStream."""

import msgspec

MSG_ID_HEADER = "Nats-Msg-Id"


class Message(msgspec.Struct, frozen=True):
    """A message to publish. With an `id`, the server drops duplicates within the duplicate window of the stream."""

    subject: str
    body: bytes
    id: str | None = None
    headers: dict[str, str] = {}


def wire_headers(message: Message) -> dict[str, str] | None:
    """Returns the headers to send, or None, which costs less than an empty header block."""
    if message.id is not None:
        return {**message.headers, MSG_ID_HEADER: message.id}
    return message.headers or None
