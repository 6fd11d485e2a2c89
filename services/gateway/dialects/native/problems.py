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
    400: "The body is not JSON.",
    401: "No key, or one that does not work.",
    403: "The key may not do that, or not from there.",
    404: "There is no such thing in this tenant.",
    409: "Another state of things stands in the way.",
    413: "The body is too large.",
    415: "The body is not declared as JSON.",
    422: "A field or parameter is not allowed; `errors` names it and says what is.",
    405: "This path does not take that method.",
    429: "This key or its tenant asks too often; `Retry-After` says in how many seconds to come back.",
    500: "Something went wrong on our side.",
    503: "A room or its database does not answer at the moment.",
    504: "No prober answered in time.",
}
_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}
_DEFAULT_DETAILS = {
    404: "Nothing is here.",
    405: "This path does not take that method.",
    413: "The body is too large.",
    500: "Something went wrong on our side. It has been logged.",
}
_log = structlog.get_logger()


class FieldError(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with one field, named by its dotted path."""

    field: str
    detail: str


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An error as RFC 9457 describes it. `errors` names the fields that were refused."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldError] = []


def render_problem(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Returns the response that tells a client of the native API about `error`."""
    problem = to_problem(request, error)
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if problem.status == 503:
        headers["Retry-After"] = "1"
    return Response(msgspec.json.encode(problem), status_code=problem.status, media_type=MEDIA_TYPE, headers=headers)


def to_problem(request: Request[Any, Any, Any], error: Exception) -> Problem:
    """Returns the problem that `error` is. What nobody foresaw is logged and told without its internals."""
    if isinstance(error, RequestError):
        return _from_refusal(error.info)
    if isinstance(error, BusError):
        return make_problem(503, "The bus does not answer at the moment.")
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
    """Returns a problem of this status; its type is the place in our documentation that explains it."""
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
    """Returns the name of the status in RFC 9110; Python's own names differ from version to version."""
    return _TITLES.get(status) or HTTPStatus(status).phrase


def _from_refusal(refusal: ErrorInfo) -> Problem:
    errors = [] if refusal.field is None else [FieldError(field=refusal.field, detail=refusal.detail)]
    detail = refusal.detail if refusal.field is None else f"{refusal.field}: {refusal.detail}"
    return make_problem(_STATUS[refusal.code], detail, errors)


def _from_validation_error(request: Request[Any, Any, Any], error: ValidationException) -> Problem:
    """Litestar tells of query, header and path parameters by the names that they have in Python."""
    raw = error.extra if isinstance(error.extra, list) else []
    errors = [
        FieldError(field=public_name(request.route_handler, item.get("key", "")), detail=item.get("message", ""))
        for item in raw
    ]
    first = f"{errors[0].field}: {errors[0].detail}" if errors else error.detail
    return make_problem(422, first, errors)
