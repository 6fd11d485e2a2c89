"""Answering nats-server about clients that it does not know."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from faststream.nats import NatsMessage, NatsRouter

from libs.bus import grants
from libs.bus.access import Asked, asked

QUEUE = "callout"
WORKERS = 16
HELD_MAX = 256
# The server lets the client wait a little longer than this: see `conf.py`.
ANSWER_S_MAX = 2.5

log = structlog.get_logger("vedette.callout")


def serve_callout(router: NatsRouter, decide: Callable[[Asked], Awaitable[bytes]]) -> None:
    """Has `decide` answer each request, one process for each; what no server has signed gets no answer.

    Whatever fails leaves the client outside: the server lets nobody in without an answer.
    """

    async def respond(body: Any) -> None:
        message: NatsMessage = body
        raw = message.raw_message
        answer = await _answer(message.body, decide)
        if answer is not None and raw.reply:
            await raw.respond(answer)

    subscriber = router.subscriber(
        grants.CALLOUT, QUEUE, max_workers=WORKERS, pending_msgs_limit=HELD_MAX, decoder=_as_it_is, no_reply=True
    )
    subscriber(respond)


async def _answer(body: bytes, decide: Callable[[Asked], Awaitable[bytes]]) -> bytes | None:
    try:
        asks = asked(body)
    except (ValueError, RecursionError) as error:
        # Not even a server's words are repeated here: they hold a client's key.
        log.warning("callout.unreadable", problem=type(error).__name__)
        return None
    try:
        async with asyncio.timeout(ANSWER_S_MAX):
            return await decide(asks)
    except Exception:
        log.exception("callout.failed", address=asks.address)
        return None


async def _as_it_is(message: Any) -> Any:
    return message
