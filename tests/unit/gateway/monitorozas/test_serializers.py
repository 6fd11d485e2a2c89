"""JSON views of devices and blacklist monitors, and their fields in the README."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from libs.model.asset import Asset
from libs.model.check import Origin
from libs.model.monitor import MonitorView, ResultView
from libs.model.outcome import Status
from libs.model.state import State, StateStatus
from services.gateway.dialects.monitorozas import dialect
from services.gateway.dialects.monitorozas.device import Device
from services.gateway.dialects.monitorozas.serializers import serialize_blacklist_monitor, serialize_device
from services.gateway.dialects.monitorozas.service_types import ALIASES

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
README = (Path(dialect.__file__).parent / "README.md").read_text()


def part(status: Status | None, *, ago_s: int = 0, enabled: bool = True, detail: str = "") -> MonitorView:
    at = NOW - timedelta(seconds=ago_s)
    last = status and ResultView(
        tick_at=at,
        location="local",
        origin=Origin.TICK,
        status=status,
        reason="ok" if status is Status.UP else "refused",
        detail=detail,
        started_at=at,
        duration_s=0.1,
        revision=1,
    )
    return MonitorView(
        id=f"m{ago_s}",
        name="n",
        kind="http",
        target="t",
        interval_s=60,
        timeout_s=10,
        locations=["local"],
        enabled=enabled,
        labels={},
        spec=msgspec.Raw(b"{}"),
        revision=1,
        created_at=NOW,
        updated_at=NOW,
        state=State(status=StateStatus.PENDING, since_at=NOW),
        last_result=last,
    )


def asset(**parts: MonitorView) -> Asset:
    fields = msgspec.Raw(b'{"target_type":"domain","target_value":"pelda.hu","is_enabled":1}')
    return Asset(number=31, fields=fields, created_at=NOW, updated_at=NOW, parts=parts)


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([Status.UP, Status.UP], "up"),
        ([Status.UP, Status.DEGRADED], "degraded"),
        ([Status.DEGRADED, None], "unknown"),
        ([Status.UP, Status.MISSED], "unknown"),
        ([Status.UP, Status.UNKNOWN], "unknown"),
        ([None, Status.DOWN], "down"),
        ([], "unknown"),
    ],
)
def test_a_device_is_as_well_as_its_worst_part(statuses: list[Status | None], expected: str) -> None:
    parts = {f"p{index}": part(status) for index, status in enumerate(statuses)}
    assert serialize_device(asset(**parts))["last_status"] == expected


def test_the_error_is_that_of_the_worst_part_and_the_time_that_of_the_last_check() -> None:
    found = serialize_device(asset(a=part(Status.DEGRADED, detail="slow"), b=part(Status.DOWN, ago_s=9), c=part(None)))
    assert (found["last_status"], found["last_error"], found["last_check_at"]) == ("down", "refused", NOW)
    assert found["checks"]["a"] == {
        "monitor_id": "m0",
        "kind": "http",
        "last_status": "degraded",
        "last_check_at": NOW,
        "last_error": "refused: slow",
    }
    assert (found["checks"]["c"]["last_check_at"], found["checks"]["c"]["last_error"]) == (None, None)


def test_a_device_is_enabled_while_one_of_its_monitors_is() -> None:
    assert serialize_device(asset(a=part(None, enabled=False), b=part(None)))["is_enabled"] == 1
    assert serialize_device(asset(a=part(None, enabled=False)))["is_enabled"] == 0


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (Status.UP, ("clean", None)),
        (Status.DOWN, ("listed", "refused: x")),
        (Status.UNKNOWN, ("unknown", "refused: x")),
        (Status.MISSED, ("unknown", "refused: x")),
    ],
)
def test_a_blacklist_monitor_is_listed_clean_or_unknown(status: Status, expected: tuple[str, Any]) -> None:
    found = serialize_blacklist_monitor(asset(dnsbl=part(status, detail="x")))
    assert (found["last_status"], found["last_error"]) == expected
    assert found["listed_on"] == []


@pytest.mark.parametrize("found", [asset(), asset(dnsbl=part(None))])
def test_a_blacklist_monitor_without_a_result_is_unknown(found: Asset) -> None:
    shown = serialize_blacklist_monitor(found)
    assert (shown["last_status"], shown["last_error"], shown["last_check_at"]) == ("unknown", None, None)


def test_the_readme_lists_every_field() -> None:
    shown = {**serialize_device(asset(a=part(None))), **serialize_blacklist_monitor(asset())}
    names = {*Device.__struct_fields__, *shown, *serialize_device(asset(a=part(None)))["checks"]["a"], *ALIASES}
    assert {name for name in names if f"`{name}`" not in README} == set()
