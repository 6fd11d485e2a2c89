"""Cursors: the place after which the next page begins, as text that clients hand back untouched."""

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
# What a bigint holds.
CursorNumber = Annotated[int, Meta(ge=0, le=2**63 - 1)]
CursorT = TypeVar("CursorT", bound=msgspec.Struct)

# A message may have a megabyte.
PAGE_BYTES_MAX = 768 * 1024

_LENGTH_MAX = 400
_INVALID = "is not a cursor of this list"


def paginate(items: Sequence[ItemT], limit: int, place: Callable[[ItemT], msgspec.Struct]) -> Page[ItemT]:
    """Returns the page of at most `limit` items out of `items`, which hold one more if there is another page.

    A page of large items is shorter: it has to fit into one message.
    """
    limit = _fit_message(items, limit)
    shown = list(items[:limit])
    return Page(items=shown, next_cursor=encode(place(shown[-1])) if len(items) > limit else None)


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
    """Returns the place that `encode` was given, or refuses a cursor that is not one of ours."""
    padded = cursor[:_LENGTH_MAX] + "=" * (-len(cursor) % 4)
    try:
        return msgspec.json.decode(base64.b64decode(padded, altchars=b"-_", validate=True), type=shape)
    except (ValueError, binascii.Error, msgspec.DecodeError) as error:
        raise RequestError(ErrorCode.INVALID, _INVALID, "cursor") from error


def parse_id(text: str) -> str:
    """Returns `text`, or refuses the cursor in which it stood."""
    if not is_id(text):
        raise RequestError(ErrorCode.INVALID, _INVALID, "cursor")
    return text
