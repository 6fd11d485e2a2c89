"""Schedule messages: the cron line, as the server reads it, matches the tick grid of the model."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.bus import schedules
from libs.model.check import Check, Origin
from libs.model.interval import DAY_S, INTERVALS_S, ticks_between

MIDNIGHT = datetime(2026, 3, 1, tzinfo=UTC)
MIDNIGHT_S = int(MIDNIGHT.timestamp())

CHECK = Check(
    monitor_id="m1",
    tenant_id="t1",
    location="local",
    kind="http",
    revision=3,
    interval_s=60,
    timeout_s=5,
    spec=msgspec.Raw(b'{"kind":"http","url":"http://127.0.0.1/"}'),
)
AT = datetime(2026, 3, 1, 12, 0, 3, 250000, tzinfo=UTC)


def field(text: str, size: int) -> set[int]:
    """Returns the values that one cron field allows: `*`, `a,b`, `a-b/n`."""
    if text == "*":
        return set(range(size))
    if "/" in text:
        span, step = text.split("/")
        first, last = span.split("-")
        return set(range(int(first), int(last) + 1, int(step)))
    return {int(part) for part in text.split(",")}


def due_seconds_of_a_day(line: str) -> list[int]:
    second, minute, hour, *rest = line.split(" ")
    assert rest == ["*", "*", "*"]
    return [
        h * 3600 + m * 60 + s
        for h in sorted(field(hour, 24))
        for m in sorted(field(minute, 60))
        for s in sorted(field(second, 60))
    ]


@given(st.data())
def test_cron_is_due_exactly_at_the_ticks(data: st.DataObject) -> None:
    interval_s = data.draw(st.sampled_from(INTERVALS_S))
    phase_s = data.draw(st.integers(0, interval_s - 1))
    ticks = ticks_between(MIDNIGHT - timedelta(seconds=1), MIDNIGHT + timedelta(seconds=DAY_S - 1), interval_s, phase_s)
    expected = [int(tick.timestamp()) - MIDNIGHT_S for tick in ticks]
    assert due_seconds_of_a_day(schedules.cron(interval_s, phase_s)) == expected


@pytest.mark.parametrize(
    ("interval_s", "phase_s", "line"),
    [
        (10, 7, "7,17,27,37,47,57 * * * * *"),
        (30, 17, "17,47 * * * * *"),
        (60, 42, "42 * * * * *"),
        (300, 222, "42 3-59/5 * * * *"),
        (3600, 1062, "42 17 * * * *"),
        (6 * 3600, 5 * 3600 + 1062, "42 17 5-23/6 * * *"),
        (86400, 5 * 3600 + 1062, "42 17 5 * * *"),
    ],
)
def test_cron_lines_of_common_intervals(interval_s: int, phase_s: int, line: str) -> None:
    assert schedules.cron(interval_s, phase_s) == line


def test_a_schedule_replaces_itself_and_its_ticks_expire_after_the_interval() -> None:
    message = schedules.schedule(msgspec.structs.replace(CHECK, tick_at=AT, reply_to="x"), 2, 17)
    assert message.subject == "sched.2.local.m1"
    assert message.id is None
    assert message.headers == {
        "Nats-Schedule": "17 * * * * *",
        "Nats-Schedule-Target": "due.2.local.http.m1",
        "Nats-Schedule-TTL": "60s",
    }
    assert msgspec.json.decode(message.body, type=Check) == CHECK


def test_a_recheck_published_twice_is_one_message() -> None:
    first, second = schedules.recheck(CHECK, 0, AT), schedules.recheck(CHECK, 0, AT)
    assert first == second
    assert first.id is not None
    assert first.headers["Nats-Schedule"] == "@at 2026-03-01T12:00:03.250000Z"
    assert first.headers["Nats-Schedule-Target"] == "due.0.local.http.m1.recheck"
    once = msgspec.json.decode(first.body, type=Check)
    assert (once.origin, once.tick_at) == (Origin.RECHECK, AT)


def test_an_immediate_check_has_a_subject_of_its_own() -> None:
    now = msgspec.structs.replace(CHECK, origin=Origin.MANUAL, tick_at=AT)
    message = schedules.immediate_check(now, 0)
    assert message.subject.startswith("due.0.local.http.")
    assert message.subject != "due.0.local.http.m1"
    assert message.headers == {"Nats-TTL": "60s"}


def test_an_immediate_check_without_a_time_is_rejected() -> None:
    with pytest.raises(ValueError, match="tick_at"):
        schedules.immediate_check(CHECK, 0)
