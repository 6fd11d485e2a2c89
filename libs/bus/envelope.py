"""The two shapes of a reply on the wire: `{"ok": <reply>}`, or `{"refused": {code, detail, field?}}`."""

import functools
from typing import Any, TypeVar

import msgspec

from libs.model.refusal import Refusal, RefusalCode, RefusedError
from libs.model.request import Request

R = TypeVar("R")


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """Exactly one of the two is set."""

    ok: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    refused: Refusal | None = None


_encoder = msgspec.json.Encoder()
_decode_reply = msgspec.json.Decoder(Reply).decode


def encode_request(request: Request[Any]) -> bytes:
    return _encoder.encode(request)


def encode_ok(reply: object) -> bytes:
    return b'{"ok":' + _encoder.encode(reply) + b"}"


def encode_refused(refusal: Refusal) -> bytes:
    return _encoder.encode(Reply(refused=refusal))


def open_reply(request: type[Request[R]], body: bytes) -> R:
    """Returns the reply in `body`, or raises the RefusedError that it carries."""
    try:
        reply = _decode_reply(body)
        if reply.refused is None and reply.ok is not msgspec.UNSET:
            decoded: R = _decoder(request).decode(reply.ok)
            return decoded
    except msgspec.DecodeError as error:
        raise RefusedError(RefusalCode.UNAVAILABLE, "The answer could not be read.") from error
    refusal = reply.refused or Refusal(code=RefusalCode.UNAVAILABLE, detail="The answer was empty.")
    raise RefusedError(refusal.code, refusal.detail, refusal.field)


@functools.cache
def _decoder(request: type[Request[Any]]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(request.reply)
