"""Pagination: opaque cursors that encode the position after which the next page begins."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from libs.model.ids import is_id
from libs.model.requests.base import Page
from libs.model.requests.errors import ErrorCode, RequestError

ItemT = TypeVar("ItemT")
# The non-negative range of bigint.
CursorNumber = Annotated[int, Meta(ge=0, le=2**63 - 1)]
CursorT = TypeVar("CursorT", bound=msgspec.Struct)

# nats-server accepts messages of up to 1 MiB.
PAGE_BYTES_MAX = 768 * 1024

_LENGTH_MAX = 400
_INVALID = "is not a cursor of this list"


def paginate(items: Sequence[ItemT], limit: int, place: Callable[[ItemT], msgspec.Struct]) -> Page[ItemT]:
    """Returns a page of at most `limit` items. `items` has one more than `limit` if another page follows.

    A page of large items is shorter, as it must fit into one message.
    """
    limit = _fit_message(items, limit)
    page = list(items[:limit])
    return Page(items=page, next_cursor=encode(place(page[-1])) if len(items) > limit else None)


def _fit_message(items: Sequence[ItemT], limit: int) -> int:
    left = PAGE_BYTES_MAX
    for number, item in enumerate(items[:limit]):
        left -= len(msgspec.json.encode(item))
        if left < 0 and number:
            return number
    return limit


def encode(place: msgspec.Struct) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def decode(cursor: str, shape: type[CursorT]) -> CursorT:
    """Returns the position that `encode` was given; raises RequestError for an invalid cursor."""
    padded = cursor[:_LENGTH_MAX] + "=" * (-len(cursor) % 4)
    try:
        return msgspec.json.decode(base64.b64decode(padded, altchars=b"-_", validate=True), type=shape)
    except (ValueError, binascii.Error, msgspec.DecodeError) as error:
        raise RequestError(ErrorCode.INVALID, _INVALID, "cursor") from error


def parse_id(text: str) -> str:
    """Returns `text` if it is an id; raises RequestError naming the cursor otherwise."""
    if not is_id(text):
        raise RequestError(ErrorCode.INVALID, _INVALID, "cursor")
    return text
