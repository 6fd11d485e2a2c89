"""Errors of the native API: problem details (RFC 9457)."""

import re
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException

from libs.bus.errors import BusError
from libs.model.requests.errors import ErrorCode, ErrorInfo, RequestError
from services.gateway.web.query_guard import public_name

MEDIA_TYPE = "application/problem+json"

_STATUS = {
    ErrorCode.INVALID: 422,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.CONFLICT: 409,
    ErrorCode.QUOTA: 403,
    ErrorCode.SCHEMA_OUTDATED: 500,
    ErrorCode.UNAVAILABLE: 503,
}
STATUS_DESCRIPTIONS = {
    400: "The request body is not valid JSON.",
    401: "The API key is missing, unknown, revoked or expired.",
    403: "The API key lacks the required scope or may not be used from this address, or a quota is exhausted.",
    404: "The resource does not exist in this tenant.",
    409: "The request conflicts with the current state of the resource.",
    413: "The request body is too large.",
    415: "The media type of the request body is not JSON.",
    422: "A field or parameter is invalid; `errors` contains its name and the allowed values.",
    405: "The method is not allowed for this path; `Allow` lists the allowed ones.",
    429: "The rate limit of the API key, of its tenant or of the client address, or the limit of open streams, is exceeded; retry after `Retry-After` seconds.",
    500: "Internal server error.",
    503: "The backend is temporarily unavailable; retry after `Retry-After` seconds.",
    504: "No prober returned a result in time.",
}
_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}
_DEFAULT_DETAILS = {
    404: "There is no resource at this path.",
    405: "The method is not allowed for this path; `Allow` lists the allowed ones.",
    413: "The request body is too large.",
    500: "Internal server error. It has been logged.",
}
_log = structlog.get_logger()


class FieldError(msgspec.Struct, frozen=True, kw_only=True):
    """One invalid field or parameter: its dotted path and the reason."""

    field: str
    detail: str


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Problem details (RFC 9457). `errors` lists the invalid fields."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldError] = []


def render_problem(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Returns the response for `error`: problem details as JSON."""
    problem = to_problem(request, error)
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if problem.status == 503:
        headers["Retry-After"] = "1"
    return Response(msgspec.json.encode(problem), status_code=problem.status, media_type=MEDIA_TYPE, headers=headers)


def to_problem(request: Request[Any, Any, Any], error: Exception) -> Problem:
    """Maps `error` to a problem. Unexpected exceptions are logged and become a 500 without details."""
    if isinstance(error, RequestError):
        return _from_refusal(error.info)
    if isinstance(error, BusError):
        return make_problem(503, "The message bus is temporarily unavailable.")
    if isinstance(error, ValidationException):
        return _from_validation_error(request, error)
    if isinstance(error, HTTPException) and error.status_code != 500:
        phrase = HTTPStatus(error.status_code).phrase
        return make_problem(
            error.status_code, error.detail if error.detail != phrase else _DEFAULT_DETAILS.get(error.status_code)
        )
    _log.error("request.failed", method=request.method, path=request.url.path, exc_info=error)
    return make_problem(500)


def make_problem(status: int, detail: str | None = None, errors: list[FieldError] | None = None) -> Problem:
    """Returns a problem with this status; `type` links to its description on the documentation page."""
    title = status_title(status)
    anchor = re.sub(r"[^a-z]+", "-", title.lower())
    return Problem(
        type=f"/docs#problem-{anchor}",
        title=title,
        status=status,
        detail=detail or _DEFAULT_DETAILS.get(status, title),
        errors=errors or [],
    )


def status_title(status: int) -> str:
    """Returns the reason phrase of RFC 9110; those of `http.HTTPStatus` differ between Python versions."""
    return _TITLES.get(status) or HTTPStatus(status).phrase


def _from_refusal(refusal: ErrorInfo) -> Problem:
    errors = [] if refusal.field is None else [FieldError(field=refusal.field, detail=refusal.detail)]
    detail = refusal.detail if refusal.field is None else f"{refusal.field}: {refusal.detail}"
    return make_problem(_STATUS[refusal.code], detail, errors)


def _from_validation_error(request: Request[Any, Any, Any], error: ValidationException) -> Problem:
    """Maps invalid query, header and path parameters; Litestar reports them by their Python names."""
    raw = error.extra if isinstance(error.extra, list) else []
    errors = [
        FieldError(field=public_name(request.route_handler, item.get("key", "")), detail=item.get("message", ""))
        for item in raw
    ]
    first = f"{errors[0].field}: {errors[0].detail}" if errors else error.detail
    return make_problem(422, first, errors)
