"""Several APIs in one application: each renders the errors of its own paths."""

from typing import Any

import structlog
from litestar import Request, Response, Router, get
from litestar.types import ASGIApp

from libs.bus.errors import BusError
from libs.model.requests.errors import ErrorCode, RequestError
from libs.process.health import Health
from services.gateway.app import create_app
from services.gateway.context import Dialect
from services.gateway.dialects.native.problems import render_problem
from tests.unit.gateway.asgi import call

SECRET = "the-password-in-the-traceback"


@get("/bug", sync_to_thread=False)
def bug() -> None:
    raise ValueError(SECRET)


@get("/conflict", sync_to_thread=False)
def conflict() -> None:
    raise RequestError(ErrorCode.CONFLICT, "It is there already.", "name")


@get("/bus", sync_to_thread=False)
def bus() -> None:
    raise BusError(f"nats://user:{SECRET}@host")


def render_outer(_: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    status = getattr(error, "status_code", 500)
    return Response(b'{"ok":false}', status_code=status, media_type="application/json")


def two_dialects() -> ASGIApp:
    native = Dialect("/api/v2", Router("/api/v2", route_handlers=[bug, conflict, bus]), render_problem)
    other = Dialect("/api/v1", Router("/api/v1", route_handlers=[bug, conflict]), render_outer)
    return create_app([native, other], b'{"openapi":"3.1.0"}', Health())


async def test_each_dialect_answers_for_its_own_paths_also_where_nothing_is() -> None:
    both = two_dialects()
    paths = {"/api/v1/bug": 500, "/api/v1/nothing": 404, "/api/v1": 404}
    # Litestar takes several slashes for one.
    for path, status in (paths | {"//api/v1//bug": 500, "//api/v1/nothing": 404, "/api//v1/": 404}).items():
        reply = await call(both, "GET", path)
        assert (reply.status, reply.json) == (status, {"ok": False})
    assert (await call(both, "POST", "/api/v1/bug")).json == {"ok": False}
    for path in ("/api/v2/nothing", "/nothing", "/api/v10", "/api/v1x/bug"):
        reply = await call(both, "GET", path)
        assert (reply.status, reply.headers["content-type"]) == (404, "application/problem+json")


def render_inner(_: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    return Response(b'"inner"', status_code=getattr(error, "status_code", 500), media_type="application/json")


async def test_below_a_dialect_the_one_with_the_longer_prefix_answers() -> None:
    outer = Dialect("/api/v1", Router("/api/v1", route_handlers=[bug]), render_outer)
    inner = Dialect("/api/v1/inner", Router("/api/v1/inner", route_handlers=[conflict]), render_inner)
    for both in (create_app([outer, inner], None, Health()), create_app([inner, outer], None, Health())):
        for path in ("/api/v1/inner", "/api/v1/inner/nothing", "/api/v1/inner/conflict"):
            assert (await call(both, "GET", path)).json == "inner"
        for path in ("/api/v1/bug", "/api/v1/innermost", "/api/v1"):
            assert (await call(both, "GET", path)).json == {"ok": False}


async def test_an_unexpected_exception_is_logged_and_rendered_without_details() -> None:
    with structlog.testing.capture_logs() as logs:
        reply = await call(two_dialects(), "GET", "/api/v2/bug")
    assert reply.status == 500
    assert SECRET not in reply.body.decode()
    failed, finished = logs
    assert (failed["event"], failed["log_level"]) == ("request.failed", "error")
    assert SECRET in str(failed["exc_info"])
    assert (finished["event"], finished["status"]) == ("request.finished", 500)


async def test_errors_of_other_services_become_problems() -> None:
    reply = await call(two_dialects(), "GET", "/api/v2/conflict")
    assert reply.json == {
        "type": "/docs#problem-conflict",
        "title": "Conflict",
        "status": 409,
        "detail": "name: It is there already.",
        "errors": [{"field": "name", "detail": "It is there already."}],
    }
    reply = await call(two_dialects(), "GET", "/api/v2/bus")
    assert (reply.status, reply.headers["retry-after"]) == (503, "1")
    assert SECRET not in reply.body.decode()


async def test_there_is_one_line_in_the_log_for_each_request_and_no_key_in_it() -> None:
    with structlog.testing.capture_logs() as logs:
        await call(two_dialects(), "GET", "/api/v2/nothing", {"Authorization": f"Bearer {SECRET}"})
    (line,) = logs
    assert (line["method"], line["path"], line["status"]) == ("GET", "/api/v2/nothing", 404)
    assert SECRET not in str(line)


async def test_without_documentation_there_is_none() -> None:
    bare = create_app(
        [Dialect("/api/v2", Router("/api/v2", route_handlers=[conflict]), render_problem)], None, Health()
    )
    assert (await call(bare, "GET", "/docs")).status == 404
    assert (await call(bare, "GET", "/api/v2/openapi.json")).status == 404
    assert (await call(bare, "GET", "/")).status == 404
    assert (await call(two_dialects(), "GET", "/docs")).status == 200
    root = await call(two_dialects(), "GET", "/")
    assert (root.status, root.headers["location"]) == (307, "/docs")
