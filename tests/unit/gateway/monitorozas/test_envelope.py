"""The error table of /api/v1: each code with its status, always in the envelope."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from litestar import Request
from litestar.exceptions import (
    ClientException,
    HTTPException,
    MethodNotAllowedException,
    NotFoundException,
    ServiceUnavailableException,
)
from litestar.status_codes import HTTP_413_REQUEST_ENTITY_TOO_LARGE

from libs.bus.errors import BusError
from libs.model.requests.errors import ErrorCode, RequestError
from services.gateway.access.errors import HTTP_STATUS, AccessDenial, AccessDeniedError
from services.gateway.dialects.monitorozas import envelope
from services.gateway.dialects.monitorozas.envelope import InvalidFieldError, render_error, success_response

DEVICES, BLACKLIST = "/api/v1/devices/create", "/api/v1/blacklist-monitors/create"
TOO_LARGE = HTTPException(status_code=HTTP_413_REQUEST_ENTITY_TOO_LARGE)


def refused_error(code: ErrorCode, field: str | None = None) -> RequestError:
    return RequestError(code, "a sentence", field)


ERRORS: list[tuple[Exception, str, tuple[int, str]]] = [
    (refused_error(ErrorCode.NOT_FOUND), DEVICES, (404, "unknown_device")),
    (refused_error(ErrorCode.NOT_FOUND), BLACKLIST, (404, "unknown_blacklist_monitor")),
    (refused_error(ErrorCode.CONFLICT), DEVICES, (409, "duplicate_device")),
    (refused_error(ErrorCode.CONFLICT), BLACKLIST, (409, "duplicate_blacklist_monitor")),
    (refused_error(ErrorCode.QUOTA), DEVICES, (403, "quota_exceeded")),
    (refused_error(ErrorCode.SCHEMA_OUTDATED), DEVICES, (500, "missing_table")),
    (refused_error(ErrorCode.UNAVAILABLE), DEVICES, (500, "server_error")),
    (refused_error(ErrorCode.INVALID, "target_value.host"), DEVICES, (400, "invalid_target_value")),
    (refused_error(ErrorCode.INVALID), DEVICES, (400, "invalid_json")),
    (InvalidFieldError("missing_target_value", "a sentence"), DEVICES, (400, "missing_target_value")),
    (BusError("nats://user:password@host"), DEVICES, (500, "server_error")),
    (ServiceUnavailableException(), DEVICES, (500, "server_error")),
    (ValueError("a bug with a password"), DEVICES, (500, "server_error")),
    (HTTPException(detail="of Litestar", status_code=500), DEVICES, (500, "server_error")),
    (NotFoundException(), "/api/v1/devices/x", (404, "unknown_devices_route")),
    (NotFoundException(), "/api/v1/blacklist-monitors/x/y", (404, "unknown_blacklist_monitors_route")),
    (NotFoundException(), "/api/v1/devicesx", (404, "unknown_api_route")),
    (NotFoundException(), "/api/v1", (404, "unknown_api_route")),
    (MethodNotAllowedException(), "/api/v1/me", (404, "unknown_api_route")),
    (MethodNotAllowedException(), DEVICES, (404, "unknown_devices_route")),
    (TOO_LARGE, DEVICES, (413, "body_too_large")),
    (ClientException(detail="Invalid content-length"), DEVICES, (400, "invalid_json")),
]


def rendered(error: Exception, path: str = DEVICES) -> tuple[int, str, dict[str, str]]:
    """Returns status, code and headers, after a look at the envelope."""
    request: Request[Any, Any, Any] = Request(
        {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": []}  # type: ignore[typeddict-item]
    )
    response = render_error(request, error)
    body = msgspec.json.decode(response.content)
    assert set(body) == {"success", "error", "message"}
    assert body["success"] is False
    assert body["message"]
    assert response.media_type == "application/json"
    assert response.status_code is not None
    return response.status_code, body["error"], dict(response.headers)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (AccessDenial.KEY_MISSING, (401, "missing_api_key")),
        (AccessDenial.KEY_INVALID, (401, "invalid_api_key")),
        (AccessDenial.ADDRESS, (403, "ip_not_allowed")),
        (AccessDenial.SCOPE, (403, "insufficient_scope")),
        (AccessDenial.RATE, (429, "rate_limit_exceeded")),
    ],
)
def test_every_denial_has_its_code(fault: AccessDenial, expected: tuple[int, str]) -> None:
    status, code, headers = rendered(AccessDeniedError(fault, "a sentence", {"Retry-After": "3"}))
    assert (status, code) == expected
    assert headers == {"Retry-After": "3"}


def test_no_denial_is_left_out() -> None:
    assert all(rendered(AccessDeniedError(fault, "a sentence"))[0] == HTTP_STATUS[fault] for fault in AccessDenial)


@pytest.mark.parametrize(("error", "path", "expected"), ERRORS)
def test_every_error_has_its_status_and_code(error: Exception, path: str, expected: tuple[int, str]) -> None:
    assert rendered(error, path)[:2] == expected


def test_the_readme_lists_every_code() -> None:
    readme = (Path(envelope.__file__).parent / "README.md").read_text()
    codes = {code for _, _, (_, code) in ERRORS} - {"invalid_target_value"}
    assert {code for code in codes if f"`{code}`" not in readme} == set()


@pytest.mark.parametrize("code", ErrorCode)
def test_no_refusal_is_left_out(code: ErrorCode) -> None:
    assert rendered(refused_error(code, "port"))[0] in {400, 403, 404, 409, 500}


@pytest.mark.parametrize("error", [BusError("gone"), refused_error(ErrorCode.UNAVAILABLE)])
def test_temporary_failures_have_retry_after(error: Exception) -> None:
    assert rendered(error)[2] == {"Retry-After": "1"}


def test_a_wrong_method_lists_the_allowed_ones() -> None:
    assert rendered(MethodNotAllowedException(headers={"allow": "GET"}))[2] == {"allow": "GET"}


@pytest.mark.parametrize("error", [BusError("the-password"), ValueError("the-password"), KeyError("the-password")])
def test_internals_are_not_revealed(error: Exception) -> None:
    request: Request[Any, Any, Any] = Request(
        {"type": "http", "method": "GET", "path": DEVICES, "query_string": b"", "headers": []}  # type: ignore[typeddict-item]
    )
    assert b"the-password" not in render_error(request, error).content


def test_a_good_answer_has_the_same_envelope() -> None:
    assert msgspec.json.decode(success_response([], 201).content) == {"success": True, "data": []}
    assert success_response([], 201).status_code == 201
