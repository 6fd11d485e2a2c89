"""What every answer of this API looks like, good or bad."""

from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException

from libs.bus.errors import BusError
from libs.model.refusal import Refusal, RefusalCode, RefusedError
from services.gateway.denial import DeniedError, Fault
from services.gateway.monitorozas.words import BLACKLIST_MONITOR, DEVICE, PREFIX

MEDIA_TYPE = "application/json"
RETRY_AFTER_S = 1

_DENIED = {
    Fault.KEY_MISSING: "missing_api_key",
    Fault.KEY_INVALID: "invalid_api_key",
    Fault.ADDRESS: "ip_not_allowed",
    Fault.RATE: "rate_limit_exceeded",
    Fault.SCOPE: "insufficient_scope",
}
_RESOURCES = {"devices": DEVICE, "blacklist-monitors": BLACKLIST_MONITOR}
_NOT_NOW = "The service does not answer at the moment. Try again."
_log = structlog.get_logger()


class Failure(msgspec.Struct, frozen=True):
    """One bad answer: its status, the machine's word for it, a sentence for people, and headers."""

    status: int
    error: str
    message: str
    headers: dict[str, str] = {}


class InvalidError(Exception):
    """The body or a parameter is not what it has to be; `error` is the code."""

    def __init__(self, error: str, message: str) -> None:
        super().__init__(message)
        self.error = error


def invalid(field: str, detail: str) -> InvalidError:
    """Returns what is raised for a field whose value is not allowed."""
    return InvalidError(f"invalid_{field}", f"{field} {detail}.")


def success(data: Any, status: int = 200) -> Response[bytes]:
    """Returns the answer that carries `data`."""
    return Response(msgspec.json.encode({"success": True, "data": data}), status_code=status, media_type=MEDIA_TYPE)


def answer(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Returns the answer that tells a client about `error`."""
    failure = failure_of(request, error)
    body = {"success": False, "error": failure.error, "message": failure.message}
    headers = failure.headers
    return Response(msgspec.json.encode(body), status_code=failure.status, media_type=MEDIA_TYPE, headers=headers)


def failure_of(request: Request[Any, Any, Any], error: Exception) -> Failure:
    """Returns what `error` is to a client. What nobody foresaw is logged and told without its internals."""
    match error:
        case InvalidError():
            return Failure(400, error.error, str(error))
        case RefusedError():
            return _of_refusal(error.refusal, _resource(request))
        case DeniedError():
            return Failure(error.status_code, _DENIED[error.fault], error.detail, dict(error.headers or {}))
        case BusError():
            return _later()
        case HTTPException() if error.status_code != HTTPStatus.INTERNAL_SERVER_ERROR:
            return _of_litestar(error, request.scope["path"])
    _log.error("request.failed", method=request.method, path=request.scope["path"], exc_info=error)
    return Failure(500, "server_error", "Something went wrong on our side. It has been logged.")


def _of_refusal(refusal: Refusal, resource: str) -> Failure:
    match refusal.code:
        case RefusalCode.INVALID:
            # Below a field of this API the path goes on with options of a kind, which its clients do not know.
            field = (refusal.field or "").partition(".")[0] or "json"
            return Failure(400, f"invalid_{field}", f"{field}: {refusal.detail}")
        case RefusalCode.NOT_FOUND:
            return Failure(404, f"unknown_{resource}", f"You have no {resource.replace('_', ' ')} with this id.")
        case RefusalCode.CONFLICT:
            return Failure(409, f"duplicate_{resource}", f"You have this {resource.replace('_', ' ')} already.")
        case RefusalCode.QUOTA:
            return Failure(403, "quota_exceeded", refusal.detail)
        case RefusalCode.UNPREPARED:
            return Failure(500, "missing_table", refusal.detail)
        case RefusalCode.UNAVAILABLE:
            return _later()


def _of_litestar(error: HTTPException, path: str) -> Failure:
    """Litestar's own 400s are about the body: how long it says it is, and whether it ended."""
    if error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _later()
    headers = dict(error.headers or {})
    match error.status_code:
        case HTTPStatus.NOT_FOUND:
            return Failure(404, _unknown_route(path), "There is nothing here.")
        case HTTPStatus.METHOD_NOT_ALLOWED:
            return Failure(404, _unknown_route(path), "There is nothing here for this method.", headers)
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return Failure(413, "body_too_large", "The body is too large.")
        case _:
            return Failure(400, "invalid_json", error.detail)


def _later() -> Failure:
    return Failure(500, "server_error", _NOT_NOW, {"Retry-After": str(RETRY_AFTER_S)})


def _resource(request: Request[Any, Any, Any]) -> str:
    return _RESOURCES.get(_first_segment(request.scope["path"]), "record")


def _unknown_route(path: str) -> str:
    segment = _first_segment(path)
    return f"unknown_{segment.replace('-', '_')}_route" if segment in _RESOURCES else "unknown_api_route"


def _first_segment(path: str) -> str:
    return path.removeprefix(PREFIX).strip("/").partition("/")[0]
