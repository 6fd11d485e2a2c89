"""Strict request bodies: decoded by msgspec without coercion; errors contain the invalid field."""

import functools
import re
from typing import Any, TypeVar

import msgspec
from litestar import Request
from litestar.exceptions import ClientException, InternalServerException

from libs.kinds.registry import kinds
from libs.model.requests.errors import ErrorCode, RequestError
from libs.model.spec import Spec

BODY_BYTES_MAX = 512 * 1024

T = TypeVar("T")

_MSGSPEC_PATH = re.compile(r"(?P<what>.*) - at (?:`key` in )?`\$?(?P<path>[^`]*)`", re.DOTALL)
_MSGSPEC_FIELD = re.compile(r"Object (?P<fault>contains unknown|missing required) field `(?P<name>.*)`", re.DOTALL)
_VALIDATOR_FIELD = re.compile(r"(?P<name>[a-z][a-z0-9_]*)(?P<rest>[.\[][^\s:]*)?(?:: ?| )(?P<what>.*)", re.DOTALL)
# The last two are the default of curl -d and a missing header; both are read as JSON.
_JSON_MEDIA_TYPES = ("application/json", "application/merge-patch+json", "application/x-www-form-urlencoded", "")


class StrictRequest(Request[Any, Any, Any]):
    """Request whose body is decoded into the handler's `data` type. Litestar itself would accept "60" for 60."""

    async def json(self) -> Any:
        if self.content_type[0] not in _JSON_MEDIA_TYPES:
            raise ClientException(detail="The body must be JSON, with Content-Type: application/json.", status_code=415)
        field = self.route_handler.parsed_data_field
        return decode(await self.body(), field.annotation if field else Any)

    async def body(self) -> bytes:
        try:
            body = await super().body()
        except InternalServerException as error:
            raise ClientException(detail="The connection was closed before the body was complete.") from error
        if not body:
            raise ClientException(detail="The body is empty; JSON is expected.")
        return body


def decode(raw: bytes | msgspec.Raw, shape: type[T], at: str = "") -> T:
    """Decodes `raw` as `shape`. RequestError contains the path of the invalid field, below `at`."""
    try:
        value: T = _decoder(shape).decode(raw)  # type: ignore[arg-type] # a class is hashable
    except msgspec.ValidationError as error:
        raise _to_refused_error(str(error), shape, at) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ClientException(detail=f"The body is not valid JSON: {error}") from error
    except RecursionError as error:
        raise ClientException(detail="The body is nested too deeply.") from error
    return value


def spec_class(raw: msgspec.Raw, at: str) -> type[Spec]:
    """Returns the spec class of the kind in `raw`; refuses an unknown kind."""
    kind = decode(raw, _KindTag, at).kind
    if kind not in kinds():
        raise RequestError(ErrorCode.INVALID, f"must be one of {', '.join(kinds())}", f"{at}.kind")
    return kinds()[kind]


def decode_spec(raw: msgspec.Raw, shape: type[Spec], at: str) -> Spec:
    """Decodes a spec with plain-text secrets. RequestError contains the path of the invalid field."""
    spec = decode(raw, shape, at)
    # PostgreSQL cannot store NUL characters.
    if b"\\u0000" in bytes(raw) and (path := _find_nul(msgspec.json.decode(raw))) is not None:
        raise RequestError(ErrorCode.INVALID, "must not contain a NUL character", f"{at}{path}")
    return spec


class _KindTag(msgspec.Struct, frozen=True):
    kind: str


@functools.cache
def _decoder(shape: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(shape, strict=True)


def _to_refused_error(text: str, shape: type[Any], at: str) -> RequestError:
    what, path = text, at
    if found := _MSGSPEC_PATH.fullmatch(text):
        what = found["what"]
        path = f"{at}{found['path'].removesuffix('[...]')}" if at else found["path"].removesuffix("[...]").lstrip(".")
    known = _field_names(shape) if path == at else ()
    if found := _MSGSPEC_FIELD.fullmatch(what):
        return _unknown_or_missing(found["fault"], found["name"], path, known)
    if (found := _VALIDATOR_FIELD.fullmatch(what)) and found["name"] in known:
        return RequestError(ErrorCode.INVALID, found["what"], _join_path(path, found["name"] + (found["rest"] or "")))
    return RequestError(ErrorCode.INVALID, what, path or None)


def _unknown_or_missing(fault: str, name: str, path: str, known: tuple[str, ...]) -> RequestError:
    if fault.startswith("missing"):
        return RequestError(ErrorCode.INVALID, "is required", _join_path(path, name))
    allowed = f"; allowed: {', '.join(known)}" if known else ""
    return RequestError(ErrorCode.INVALID, f"is not a known field{allowed}", _join_path(path, name[:100]))


def _field_names(shape: type[Any]) -> tuple[str, ...]:
    """Returns the allowed field names of a struct; none for a dict, which allows any."""
    config = getattr(shape, "__struct_config__", None)
    if config is None:
        return ()
    tag = config.tag_field
    names = tuple(field.encode_name for field in msgspec.structs.fields(shape))
    return (tag, *names) if tag else names


def _join_path(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _find_nul(value: object) -> str | None:
    """Returns the path of the first string in `value` that contains a NUL character."""
    if isinstance(value, str):
        return "" if "\0" in value else None
    pairs: list[tuple[str, object]] = []
    if isinstance(value, dict):
        pairs = [
            (f".{key}" if "\0" not in key else "", key + item if isinstance(item, str) else item)
            for key, item in value.items()
        ]
    if isinstance(value, list):
        pairs = [(f"[{index}]", item) for index, item in enumerate(value)]
    return next((name + path for name, item in pairs if (path := _find_nul(item)) is not None), None)
