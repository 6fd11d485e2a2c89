import asyncio
from typing import Any

import msgspec
import pytest

from libs.process import health, metrics
from libs.process.health import Health


async def fine() -> None:
    """Is ready."""


async def broken() -> None:
    raise ConnectionError("the stream is gone")


async def http_response(app: Health, path: str, method: str = "GET") -> tuple[int, bytes]:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "http", "method": method, "path": path}, receive, send)
    return sent[0]["status"], sent[1]["body"]


async def test_a_process_is_ready_when_it_has_started_and_all_checks_pass():
    app = Health()
    app.add_check("stream", fine)
    assert (await http_response(app, "/health/ready"))[0] == 503
    app.mark_started()
    status, body = await http_response(app, "/health/ready")
    assert status == 200
    assert msgspec.json.decode(body) == {"ready": True, "checks": {"process": "ok", "stream": "ok"}}


async def test_a_failing_check_is_reported_with_its_reason():
    app = Health()
    app.mark_started()
    app.add_check("stream", broken)
    status, body = await http_response(app, "/health/ready")
    assert status == 503
    assert msgspec.json.decode(body)["checks"]["stream"] == "the stream is gone"


async def test_a_check_that_hangs_is_not_ready(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(health, "CHECK_TIMEOUT_S", 0.01)
    app = Health()
    app.add_check("stream", asyncio.Event().wait)  # type: ignore[arg-type]
    assert (await app.report()).checks["stream"] == "no answer in 0.01 s"


async def test_a_stopping_process_is_live_but_not_ready():
    app = Health()
    app.mark_started()
    app.mark_stopping()
    assert (await http_response(app, "/health/live"))[0] == 200
    assert (await http_response(app, "/health/ready"))[0] == 503


async def test_metrics_are_served_and_one_name_is_one_metric():
    metrics.counter("vedette_test_total", "Tests").inc()
    metrics.counter("vedette_test_total", "Tests").inc()
    status, body = await http_response(Health(), "/metrics")
    assert status == 200
    assert b"vedette_test_total 2.0" in body


def test_one_name_cannot_be_two_kinds_of_metric():
    metrics.counter("vedette_twice", "Tests")
    with pytest.raises(TypeError, match="vedette_twice is a Counter already"):
        metrics.gauge("vedette_twice", "Tests")


async def test_other_paths_and_methods_are_rejected():
    assert (await http_response(Health(), "/"))[0] == 404
    assert (await http_response(Health(), "/health/live", "POST"))[0] == 405
    assert await http_response(Health(), "/health/live", "HEAD") == (200, b"")
