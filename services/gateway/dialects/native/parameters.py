"""Query and header parameters of the native API."""

import contextlib
import hashlib
import re
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from litestar.params import HeaderParameter, QueryParameter

from libs.kinds.registry import kinds
from libs.model.ids import is_id
from libs.model.requests.base import Idempotency
from libs.model.requests.errors import ErrorCode, RequestError
from libs.model.state import StateStatus
from services.gateway.dialects.native.schemas import LABELS_MAX, check_label

LIMIT_DEFAULT = 50
LIMIT_MAX = 500

Limit = Annotated[int, QueryParameter(ge=1, le=LIMIT_MAX, description="Maximum number of items.")]
Cursor = Annotated[str | None, QueryParameter(max_length=500, description="`next_cursor` of the previous page.")]
From = Annotated[str | None, QueryParameter(name="from", description="Start of the period (RFC 3339), inclusive.")]
To = Annotated[str | None, QueryParameter(name="to", description="End of the period (RFC 3339), exclusive.")]
IdempotencyKey = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        pattern=r"^[!-~]{1,255}$",
        description="A retry with the same key and body returns the first response and creates nothing.",
    ),
]

_Instant = Annotated[datetime, msgspec.Meta(tz=True)]
_YEARS = range(1970, 2200)
_LABEL = re.compile(r"([^:=]*)[:=](.*)", re.DOTALL)


def parse_instant(field: str, text: str | None) -> datetime | None:
    """Parses an RFC 3339 timestamp and returns it in UTC."""
    if text is None:
        return None
    # A plus sign that is not percent-encoded arrives as a space.
    with contextlib.suppress(msgspec.ValidationError):
        value: datetime = msgspec.convert(text.replace(" ", "+"), _Instant)
        if value.year in _YEARS:
            return value.astimezone(UTC)
    raise RequestError(ErrorCode.INVALID, "must be an instant such as 2026-07-01T12:00:00Z", field)


def parse_labels(texts: list[str]) -> dict[str, str]:
    """Parses labels of the form `key:value` or `key=value`."""
    if len(texts) > LABELS_MAX:
        raise RequestError(ErrorCode.INVALID, f"may be given {LABELS_MAX} times at most", "label")
    return dict(_parse_label(text) for text in texts)


def require_kind(kind: str | None) -> str | None:
    if kind is not None and kind not in kinds():
        raise RequestError(ErrorCode.INVALID, f"must be one of {', '.join(kinds())}", "kind")
    return kind


def parse_state(text: str | None) -> StateStatus | None:
    """Parses a state. Litestar's own enum parameter would accept the text `null` as None."""
    if text is not None and text not in list(StateStatus):
        raise RequestError(ErrorCode.INVALID, f"must be one of {', '.join(StateStatus)}", "state")
    return None if text is None else StateStatus(text)


def require_id(text: str, what: str) -> str:
    """Returns the id; raises 404 without a request on the bus if it is malformed."""
    if not is_id(text):
        raise RequestError(ErrorCode.NOT_FOUND, f"There is no such {what}.")
    return text


def make_idempotency(key: str | None, verb: str, body: msgspec.Struct) -> Idempotency | None:
    """Returns the client's idempotency key with a fingerprint of the request body, in canonical JSON.

    The fingerprint is stored: secrets in `body` must be replaced by their digests.
    """
    if key is None:
        return None
    plain: Any = msgspec.json.decode(msgspec.json.encode(body))
    canonical = msgspec.json.encode({verb: plain}, order="sorted")
    return Idempotency(key=key, fingerprint=hashlib.sha256(canonical).hexdigest())


def _parse_label(text: str) -> tuple[str, str]:
    parts = _LABEL.fullmatch(text)
    if parts is None:
        raise RequestError(ErrorCode.INVALID, "must be key:value or key=value", "label")
    try:
        check_label("label", parts[1], parts[2])
    except ValueError as error:
        raise RequestError(ErrorCode.INVALID, str(error).removeprefix("label: "), "label") from error
    return parts[1], parts[2]
