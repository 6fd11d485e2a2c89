"""Answering nats-server about clients that it does not know."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from faststream.nats import NatsMessage, NatsRouter

from libs.bus.auth import permissions
from libs.bus.auth.callout_protocol import AuthRequest, decode_auth_request

QUEUE_GROUP = "callout"
WORKERS = 16
PENDING_MAX = 256
# The server lets the client wait a little longer than this: see `conf.py`.
RESPONSE_S_MAX = 2.5

log = structlog.get_logger("vedette.callout")


def serve_callout(router: NatsRouter, decide: Callable[[AuthRequest], Awaitable[bytes]]) -> None:
    """Has `decide` answer each request, one process for each; what no server has signed gets no answer.

    Whatever fails leaves the client outside: the server lets nobody in without an answer.
    """

    async def respond(body: Any) -> None:
        message: NatsMessage = body
        raw = message.raw_message
        answer = await _response(message.body, decide)
        if answer is not None and raw.reply:
            await raw.respond(answer)

    subscriber = router.subscriber(
        permissions.CALLOUT_SUBJECT,
        QUEUE_GROUP,
        max_workers=WORKERS,
        pending_msgs_limit=PENDING_MAX,
        decoder=_raw_decoder,
        no_reply=True,
    )
    subscriber(respond)


async def _response(body: bytes, decide: Callable[[AuthRequest], Awaitable[bytes]]) -> bytes | None:
    try:
        asks = decode_auth_request(body)
    except (ValueError, RecursionError) as error:
        # Not even a server's words are repeated here: they hold a client's key.
        log.warning("callout.invalid_request", problem=type(error).__name__)
        return None
    try:
        async with asyncio.timeout(RESPONSE_S_MAX):
            return await decide(asks)
    except Exception:
        log.exception("callout.failed", address=asks.address)
        return None


async def _raw_decoder(message: Any) -> Any:
    return message
