"""Examples for the OpenAPI document, by schema name."""

from typing import Any

_SPEC = {"kind": "http", "url": "https://example.org/"}
_MONITOR_ID = "019b76da-a800-7c6e-9d5e-4a5d1f0c2b11"
_KEY_ID = "019b76da-a800-7a10-8a34-0d9f6b1c7e52"

EXAMPLES: dict[str, Any] = {
    "MonitorCreate": {
        "name": "Example home",
        "interval_s": 60,
        "timeout_s": 10,
        "locations": ["local"],
        "labels": {"customer": "c-17"},
        "spec": _SPEC,
    },
    "MonitorPatch": {"enabled": False},
    "CheckCreate": {"spec": _SPEC},
    "KeyCreate": {"name": "dashboard", "scopes": ["read"], "cidrs": ["192.0.2.0/24"]},
    "TenantCreate": {"name": "acme", "rate": {"per_s": 20, "burst": 200}, "monitors_max": 500, "interval_s_min": 60},
    "TenantPatch": {"monitors_max": 1000},
    "MonitorView": {
        "id": _MONITOR_ID,
        "name": "Example home",
        "kind": "http",
        "target": "https://example.org/",
        "interval_s": 60,
        "timeout_s": 10.0,
        "locations": ["local"],
        "enabled": True,
        "labels": {"customer": "c-17"},
        "spec": _SPEC,
        "revision": 1,
        "created_at": "2026-07-01T12:00:00Z",
        "updated_at": "2026-07-01T12:00:00Z",
        "state": {"status": "up", "since_at": "2026-07-01T12:00:01Z", "reason": "ok", "flapping": False},
        "last_result": None,
    },
    "KeyCreated": {
        "id": _KEY_ID,
        "key": "vdt_shown_this_once",
        "name": "dashboard",
        "scopes": ["read"],
        "cidrs": ["192.0.2.0/24"],
        "created_at": "2026-07-01T12:00:00Z",
        "expires_at": None,
    },
    "Problem": {
        "type": "/docs#problem-unprocessable-content",
        "title": "Unprocessable Content",
        "status": 422,
        "detail": "interval_s: must be one of 10, 12, 15, 20, 30, 60",
        "errors": [{"field": "interval_s", "detail": "must be one of 10, 12, 15, 20, 30, 60"}],
    },
}
