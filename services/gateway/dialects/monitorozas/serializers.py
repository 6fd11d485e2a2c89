"""JSON views of assets: their stored fields and the status of their parts. Pure."""

from typing import Any

import msgspec

from libs.model.asset import Asset
from libs.model.monitor import MonitorView, ResultView
from libs.model.outcome import Status

# Worst first. Unknown is worse than degraded: the target may be down.
_SEVERITY = ("down", "unknown", "degraded", "up")


def serialize_device(asset: Asset) -> dict[str, Any]:
    """Returns the JSON view of a device."""
    parts = [*asset.parts.values()]
    worst = min(parts, key=lambda part: _SEVERITY.index(_status(part)), default=None)
    return {
        **_common_fields(asset),
        "last_status": _status(worst),
        "last_error": _error(worst),
        "checks": {name: _serialize_check(part) for name, part in asset.parts.items()},
    }


def serialize_blacklist_monitor(asset: Asset) -> dict[str, Any]:
    """Returns the JSON view of a blacklist monitor."""
    part = next(iter(asset.parts.values()), None)
    return {**_common_fields(asset), "last_status": _listing_status(part), "last_error": _error(part), "listed_on": []}


def _common_fields(asset: Asset) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.json.decode(asset.fields)
    looks = [part.last_result.started_at for part in asset.parts.values() if part.last_result]
    return {
        "id": asset.number,
        **fields,
        "is_enabled": int(any(part.enabled for part in asset.parts.values())),
        "created_at": asset.created_at,
        "updated_at": asset.updated_at,
        "last_check_at": max(looks, default=None),
    }


def _serialize_check(part: MonitorView) -> dict[str, Any]:
    return {
        "monitor_id": part.id,
        "kind": part.kind,
        "last_status": _status(part),
        "last_check_at": part.last_result and part.last_result.started_at,
        "last_error": _error(part),
    }


def _status(part: MonitorView | None) -> str:
    """Returns up, degraded, down or unknown; unknown without a part or a result."""
    if part is None or part.last_result is None or part.last_result.status is Status.MISSED:
        return Status.UNKNOWN.value
    return part.last_result.status.value


def _error(part: MonitorView | None) -> str | None:
    """Returns the reason of the last result, None if it is up."""
    result: ResultView | None = part.last_result if part else None
    if result is None or result.status is Status.UP:
        return None
    return f"{result.reason}: {result.detail}" if result.detail else result.reason


def _listing_status(part: MonitorView | None) -> str:
    """Returns listed, clean or unknown."""
    statuses = {Status.UP: "clean", Status.DOWN: "listed", Status.DEGRADED: "listed"}
    result = part.last_result if part else None
    return statuses.get(result.status, "unknown") if result else "unknown"
