"""Transactional outbox: messages written in the transaction of their cause and published after its commit."""

from collections.abc import Sequence

import msgspec

from libs.store.core.driver import Db

_ADD = """
INSERT INTO outbox (subject, msg_id, headers, body)
SELECT * FROM unnest($1::text[], $2::text[], $3::jsonb[], $4::bytea[])
"""
_PAGE = "SELECT id, subject, msg_id, headers, body FROM outbox WHERE id > $1 ORDER BY id LIMIT $2"
_DELETE = "DELETE FROM outbox WHERE id = ANY($1::bigint[])"
_DEPTH = "SELECT count(*) FROM outbox"

_encoder = msgspec.json.Encoder()
_headers_decoder = msgspec.json.Decoder(dict[str, str])


class OutboxMessage(msgspec.Struct, frozen=True, kw_only=True):
    """One message that waits. `msg_id` empty means that the stream need not recognise it when it comes twice."""

    subject: str
    body: bytes
    msg_id: str = ""
    headers: dict[str, str] = {}


class OutboxRow(msgspec.Struct, frozen=True):
    """One message with its place in the queue."""

    id: int
    message: OutboxMessage


async def add(db: Db, messages: Sequence[OutboxMessage]) -> None:
    if messages:
        await db.run(
            _ADD,
            [message.subject for message in messages],
            [message.msg_id for message in messages],
            [_encoder.encode(message.headers) for message in messages],
            [message.body for message in messages],
        )


async def page(db: Db, after: int, limit: int) -> list[OutboxRow]:
    """Returns the next messages behind the place `after`, oldest first."""
    return [
        OutboxRow(
            row["id"],
            OutboxMessage(
                subject=row["subject"],
                body=row["body"],
                msg_id=row["msg_id"],
                headers=_headers_decoder.decode(row["headers"]),
            ),
        )
        for row in await db.rows(_PAGE, after, limit)
    ]


async def delete(db: Db, ids: Sequence[int]) -> None:
    if ids:
        await db.run(_DELETE, ids)


async def depth(db: Db) -> int:
    return int(await db.value(_DEPTH))
