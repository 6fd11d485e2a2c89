"""Response envelope and error codes of the Monitorozás API."""

from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException

from libs.bus.errors import BusError
from libs.model.requests.errors import ErrorCode, ErrorInfo, RequestError
from services.gateway.access.errors import AccessDenial, AccessDeniedError
from services.gateway.dialects.monitorozas.constants import BLACKLIST_MONITOR, DEVICE, PREFIX

MEDIA_TYPE = "application/json"
RETRY_AFTER_S = 1

_DENIAL_CODES = {
    AccessDenial.KEY_MISSING: "missing_api_key",
    AccessDenial.KEY_INVALID: "invalid_api_key",
    AccessDenial.ADDRESS: "ip_not_allowed",
    AccessDenial.RATE: "rate_limit_exceeded",
    AccessDenial.SCOPE: "insufficient_scope",
}
_RESOURCES = {"devices": DEVICE, "blacklist-monitors": BLACKLIST_MONITOR}
_UNAVAILABLE_MESSAGE = "The service does not answer at the moment. Try again."
_log = structlog.get_logger()


class ApiFailure(msgspec.Struct, frozen=True):
    """An error response: status, error code, message and headers."""

    status: int
    error: str
    message: str
    headers: dict[str, str] = {}


class InvalidFieldError(Exception):
    """The body or a parameter is invalid; `error` is the error code."""

    def __init__(self, error: str, message: str) -> None:
        super().__init__(message)
        self.error = error


def invalid_field(field: str, detail: str) -> InvalidFieldError:
    """Returns the error for a field with an invalid value."""
    return InvalidFieldError(f"invalid_{field}", f"{field} {detail}.")


def success_response(data: Any, status: int = 200) -> Response[bytes]:
    """Returns a success response with `data`."""
    return Response(msgspec.json.encode({"success": True, "data": data}), status_code=status, media_type=MEDIA_TYPE)


def render_error(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Returns the error response for `error`."""
    failure = to_failure(request, error)
    body = {"success": False, "error": failure.error, "message": failure.message}
    headers = failure.headers
    return Response(msgspec.json.encode(body), status_code=failure.status, media_type=MEDIA_TYPE, headers=headers)


def to_failure(request: Request[Any, Any, Any], error: Exception) -> ApiFailure:
    """Maps `error` to an error response. Unexpected exceptions are logged and become a 500 without details."""
    match error:
        case InvalidFieldError():
            return ApiFailure(400, error.error, str(error))
        case RequestError():
            return _from_refusal(error.info, _resource_name(request))
        case AccessDeniedError():
            return ApiFailure(error.status_code, _DENIAL_CODES[error.denial], error.detail, dict(error.headers or {}))
        case BusError():
            return _unavailable()
        case HTTPException() if error.status_code != HTTPStatus.INTERNAL_SERVER_ERROR:
            return _from_http_exception(error, request.scope["path"])
    _log.error("request.failed", method=request.method, path=request.scope["path"], exc_info=error)
    return ApiFailure(500, "server_error", "Something went wrong on our side. It has been logged.")


def _from_refusal(refusal: ErrorInfo, resource: str) -> ApiFailure:
    match refusal.code:
        case ErrorCode.INVALID:
            # The rest of the path are options of the kind, which are not part of this API.
            field = (refusal.field or "").partition(".")[0] or "json"
            return ApiFailure(400, f"invalid_{field}", f"{field}: {refusal.detail}")
        case ErrorCode.NOT_FOUND:
            return ApiFailure(404, f"unknown_{resource}", f"You have no {resource.replace('_', ' ')} with this id.")
        case ErrorCode.CONFLICT:
            return ApiFailure(409, f"duplicate_{resource}", f"You have this {resource.replace('_', ' ')} already.")
        case ErrorCode.QUOTA:
            return ApiFailure(403, "quota_exceeded", refusal.detail)
        case ErrorCode.SCHEMA_OUTDATED:
            return ApiFailure(500, "missing_table", refusal.detail)
        case ErrorCode.UNAVAILABLE:
            return _unavailable()


def _from_http_exception(error: HTTPException, path: str) -> ApiFailure:
    """Maps Litestar's errors. Its 400s are about the body: a wrong Content-Length, or an incomplete body."""
    if error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _unavailable()
    headers = dict(error.headers or {})
    match error.status_code:
        case HTTPStatus.NOT_FOUND:
            return ApiFailure(404, _unknown_route(path), "There is nothing here.")
        case HTTPStatus.METHOD_NOT_ALLOWED:
            return ApiFailure(404, _unknown_route(path), "There is nothing here for this method.", headers)
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return ApiFailure(413, "body_too_large", "The body is too large.")
        case _:
            return ApiFailure(400, "invalid_json", error.detail)


def _unavailable() -> ApiFailure:
    return ApiFailure(500, "server_error", _UNAVAILABLE_MESSAGE, {"Retry-After": str(RETRY_AFTER_S)})


def _resource_name(request: Request[Any, Any, Any]) -> str:
    return _RESOURCES.get(_first_segment(request.scope["path"]), "record")


def _unknown_route(path: str) -> str:
    segment = _first_segment(path)
    return f"unknown_{segment.replace('-', '_')}_route" if segment in _RESOURCES else "unknown_api_route"


def _first_segment(path: str) -> str:
    return path.removeprefix(PREFIX).strip("/").partition("/")[0]
