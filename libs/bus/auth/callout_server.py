"""Subscriber that answers the authorization requests of nats-server (auth callout)."""

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
# Below the timeout of the server: CALLOUT_TIMEOUT_S in `server_config.py`.
RESPONSE_S_MAX = 2.5

log = structlog.get_logger("vedette.callout")


def serve_callout(router: NatsRouter, decide: Callable[[AuthRequest], Awaitable[bytes]]) -> None:
    """Answers each authorization request with the result of `decide`; requests are shared through a queue group.

    A request that no server has signed gets no response. Neither does one for which `decide` fails or takes too long:
    without a response, the server rejects the client.
    """

    async def respond(body: Any) -> None:
        message: NatsMessage = body
        raw = message.raw_message
        response = await _response(message.body, decide)
        if response is not None and raw.reply:
            await raw.respond(response)

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
        request = decode_auth_request(body)
    except (ValueError, RecursionError) as error:
        # Without the text of the error, which may contain the client's key.
        log.warning("callout.invalid_request", problem=type(error).__name__)
        return None
    try:
        async with asyncio.timeout(RESPONSE_S_MAX):
            return await decide(request)
    except Exception:
        log.exception("callout.failed", address=request.address)
        return None


async def _raw_decoder(message: Any) -> Any:
    return message
