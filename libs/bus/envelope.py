"""Encoding of requests and replies: a reply is `{"ok": <reply>}` or `{"error": {code, detail, field?}}`."""

import functools
from typing import Any, TypeVar

import msgspec

from libs.model.requests.base import RpcRequest
from libs.model.requests.errors import ErrorCode, ErrorInfo, RequestError

R = TypeVar("R")


class RpcReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """A reply. Exactly one of the two fields is set."""

    ok: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: ErrorInfo | None = None


_encoder = msgspec.json.Encoder()
_decode_envelope = msgspec.json.Decoder(RpcReply).decode


def encode_request(request: RpcRequest[Any]) -> bytes:
    return _encoder.encode(request)


def encode_ok(reply: object) -> bytes:
    return b'{"ok":' + _encoder.encode(reply) + b"}"


def encode_error(info: ErrorInfo) -> bytes:
    return _encoder.encode(RpcReply(error=info))


def decode_reply(request: type[RpcRequest[R]], body: bytes) -> R:
    """Returns the reply in `body`, or raises the RequestError that it contains."""
    try:
        reply = _decode_envelope(body)
        if reply.error is None and reply.ok is not msgspec.UNSET:
            decoded: R = _reply_decoder(request).decode(reply.ok)
            return decoded
    except msgspec.DecodeError as error:
        raise RequestError(ErrorCode.UNAVAILABLE, "The answer could not be read.") from error
    info = reply.error or ErrorInfo(code=ErrorCode.UNAVAILABLE, detail="The answer was empty.")
    raise RequestError(info.code, info.detail, info.field)


@functools.cache
def _reply_decoder(request: type[RpcRequest[Any]]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(request.reply)
