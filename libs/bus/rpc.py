"""Server side of requests between services."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
import structlog
from faststream.nats import NatsMessage, NatsRouter

from libs.bus import envelope, subjects
from libs.model.requests.base import RpcRequest
from libs.model.requests.errors import ErrorCode, ErrorInfo, RequestError

R = TypeVar("R")

QUEUE_GROUP = "rpc"
PENDING_MAX = 1024

log = structlog.get_logger("vedette.rpc")

_UNAVAILABLE = ErrorInfo(code=ErrorCode.UNAVAILABLE, detail="The request could not be carried out at the moment.")
_TOO_LARGE = ErrorInfo(code=ErrorCode.INVALID, detail="The answer is too large; ask for less at once.", field="limit")


def serve_rpc(
    router: NatsRouter,
    request: type[RpcRequest[R]],
    handler: Callable[[Any], Awaitable[R]],
    *,
    workers: int = 16,
    timeout_s: float = 10.0,
) -> None:
    """Answers `rpc.<verb>`, sharing the requests with other processes through a queue group.

    A RequestError of the handler becomes the reply; any other exception is logged, and the reply is `unavailable`.
    """
    answer = _responder(request, handler, timeout_s)

    async def respond(body: Any) -> None:
        message: NatsMessage = body
        await _respond(message, await answer(message.body))

    subscriber = router.subscriber(
        subjects.rpc(request.verb),
        QUEUE_GROUP,
        max_workers=workers,
        pending_msgs_limit=PENDING_MAX,
        decoder=_raw_decoder,
        no_reply=True,
    )
    subscriber(respond)


async def _raw_decoder(message: Any) -> Any:
    return message


def _responder(
    request: type[RpcRequest[R]], handler: Callable[[Any], Awaitable[R]], timeout_s: float
) -> Callable[[bytes], Awaitable[bytes]]:
    decode = msgspec.json.Decoder(request).decode

    async def answer(body: bytes) -> bytes:
        try:
            async with asyncio.timeout(timeout_s):
                return envelope.encode_ok(await handler(decode(body)))
        except RequestError as error:
            return envelope.encode_error(error.info)
        except msgspec.ValidationError as error:
            return envelope.encode_error(ErrorInfo(code=ErrorCode.INVALID, detail=str(error)))
        except Exception:
            log.exception("rpc.failed", verb=request.verb)
            return envelope.encode_error(_UNAVAILABLE)

    return answer


async def _respond(message: NatsMessage, answer: bytes) -> None:
    raw = message.raw_message
    if not raw.reply:
        return
    if len(answer) > raw._client.max_payload:  # noqa: SLF001 the message's own connection has no public name
        answer = envelope.encode_error(_TOO_LARGE)
    await raw.respond(answer)
