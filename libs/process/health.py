"""HTTP endpoints for liveness, readiness and metrics."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec
import structlog

from libs.process import metrics

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

CHECK_TIMEOUT_S = 3.0
PATHS = ("/health/live", "/health/ready", "/metrics")

_JSON = b"application/json"
_log = structlog.get_logger()


class HealthReport(msgspec.Struct, frozen=True):
    """Body of /health/ready: for each check "ok", or the reason why it is not ready."""

    ready: bool
    checks: dict[str, str]


class Health:
    """Readiness checks of all services in the process, and the ASGI app of the endpoints."""

    def __init__(self) -> None:
        self._checks: dict[str, Callable[[], Awaitable[None]]] = {}
        self._started = False

    def add_check(self, name: str, check: Callable[[], Awaitable[None]]) -> None:
        """Adds a check, which raises while its subject is not ready."""
        self._checks[name] = check

    def mark_started(self) -> None:
        """Marks the process as started. Before that, and during shutdown, it is not ready."""
        self._started = True

    def mark_stopping(self) -> None:
        self._started = False

    async def report(self) -> HealthReport:
        """Runs all checks concurrently, each with a timeout, and returns their outcomes."""
        async with asyncio.TaskGroup() as group:
            tasks = {name: group.create_task(_run_check(name, check)) for name, check in self._checks.items()}
        checks = {"process": "ok" if self._started else "starting or stopping"}
        checks |= {name: task.result() for name, task in sorted(tasks.items())}
        checks |= dict.fromkeys(sorted(self._checks.keys() - tasks.keys()), "added meanwhile")
        return HealthReport(all(text == "ok" for text in checks.values()), checks)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers GET and HEAD on `PATHS` as an ASGI app without a lifespan."""
        if scope["type"] != "http":
            return
        await _read_body(receive)
        status, kind, body = await self._answer(scope["method"], scope["path"])
        headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _answer(self, method: str, path: str) -> tuple[int, bytes, bytes]:
        if path not in PATHS:
            return 404, _JSON, b'{"detail":"there is only /health/live, /health/ready and /metrics"}'
        if method not in {"GET", "HEAD"}:
            return 405, _JSON, b'{"detail":"only GET and HEAD are answered here"}'
        if path == "/metrics":
            return 200, metrics.CONTENT_TYPE, metrics.render()
        if path == "/health/live":
            return 200, _JSON, b'{"live":true}'
        report = await self.report()
        return 200 if report.ready else 503, _JSON, msgspec.json.encode(report)


async def _run_check(name: str, check: Callable[[], Awaitable[None]]) -> str:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await check()
    except TimeoutError:
        return f"no answer in {CHECK_TIMEOUT_S:g} s"
    except Exception as error:  # noqa: BLE001 - any failure is the outcome of the check
        _log.debug("health.not_ready", check=name, exc_info=True)
        return str(error) or type(error).__name__
    return "ok"


async def _read_body(receive: Receive) -> None:
    while (await receive()).get("more_body", False):
        pass
