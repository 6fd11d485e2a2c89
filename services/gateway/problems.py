"""Errors of the native API: problem details (RFC 9457)."""

import re
from http import HTTPStatus
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, ValidationException

from libs.bus.errors import BusError
from libs.model.refusal import Refusal, RefusalCode, RefusedError
from services.gateway.names import public_name

MEDIA_TYPE = "application/problem+json"

_STATUS = {
    RefusalCode.INVALID: 422,
    RefusalCode.NOT_FOUND: 404,
    RefusalCode.CONFLICT: 409,
    RefusalCode.QUOTA: 403,
    RefusalCode.UNPREPARED: 500,
    RefusalCode.UNAVAILABLE: 503,
}
MEANINGS = {
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
_DETAIL = {
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


def answer(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Returns the response that tells a client of the native API about `error`."""
    problem = problem_of(request, error)
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if problem.status == 503:
        headers["Retry-After"] = "1"
    return Response(msgspec.json.encode(problem), status_code=problem.status, media_type=MEDIA_TYPE, headers=headers)


def problem_of(request: Request[Any, Any, Any], error: Exception) -> Problem:
    """Returns the problem that `error` is. What nobody foresaw is logged and told without its internals."""
    if isinstance(error, RefusedError):
        return _of_refusal(error.refusal)
    if isinstance(error, BusError):
        return problem(503, "The bus does not answer at the moment.")
    if isinstance(error, ValidationException):
        return _of_parameters(request, error)
    if isinstance(error, HTTPException) and error.status_code != 500:
        phrase = HTTPStatus(error.status_code).phrase
        return problem(error.status_code, error.detail if error.detail != phrase else _DETAIL.get(error.status_code))
    _log.error("request.failed", method=request.method, path=request.url.path, exc_info=error)
    return problem(500)


def problem(status: int, detail: str | None = None, errors: list[FieldError] | None = None) -> Problem:
    """Returns a problem of this status; its type is the place in our documentation that explains it."""
    title = title_of(status)
    anchor = re.sub(r"[^a-z]+", "-", title.lower())
    return Problem(
        type=f"/docs#problem-{anchor}",
        title=title,
        status=status,
        detail=detail or _DETAIL.get(status, title),
        errors=errors or [],
    )


def title_of(status: int) -> str:
    """Returns the name of the status in RFC 9110; Python's own names differ from version to version."""
    return _TITLES.get(status) or HTTPStatus(status).phrase


def _of_refusal(refusal: Refusal) -> Problem:
    errors = [] if refusal.field is None else [FieldError(field=refusal.field, detail=refusal.detail)]
    detail = refusal.detail if refusal.field is None else f"{refusal.field}: {refusal.detail}"
    return problem(_STATUS[refusal.code], detail, errors)


def _of_parameters(request: Request[Any, Any, Any], error: ValidationException) -> Problem:
    """Litestar tells of query, header and path parameters by the names that they have in Python."""
    raw = error.extra if isinstance(error.extra, list) else []
    errors = [
        FieldError(field=public_name(request.route_handler, item.get("key", "")), detail=item.get("message", ""))
        for item in raw
    ]
    first = f"{errors[0].field}: {errors[0].detail}" if errors else error.detail
    return problem(422, first, errors)
