"""Decoding of due checks: a round trip gives the same check, an invalid message is rejected."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.aio.msg import Msg

from libs.bus import schedules
from libs.bus.checks import read_check
from libs.bus.client.stored_message import StoredMessage
from libs.model.check import Check, Origin
from libs.model.interval import INTERVALS_S

INSTANTS = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
CHECKS = st.builds(
    Check,
    monitor_id=st.uuids().map(str),
    tenant_id=st.uuids().map(str),
    location=st.just("local"),
    kind=st.just("http"),
    revision=st.integers(1, 1 << 31),
    interval_s=st.sampled_from(INTERVALS_S),
    timeout_s=st.floats(0.1, 60),
    spec=st.just(msgspec.Raw(b'{"kind":"http"}')),
)


def stored_message(body: bytes, headers: dict[str, str] | None = None) -> StoredMessage:
    return StoredMessage(Msg(_client=None, subject="due.0.local.http.m", data=body, headers=headers))  # type: ignore[arg-type]


@given(CHECKS, INSTANTS)
def test_a_tick_gets_its_time_from_the_time_of_the_next_tick(check: Check, instant: datetime) -> None:
    tick_at = instant.replace(microsecond=0)
    following = tick_at + timedelta(seconds=check.interval_s)
    body = schedules.schedule(check, 0, 0).body
    read = read_check(stored_message(body, {"Nats-Schedule-Next": following.strftime("%Y-%m-%dT%H:%M:%SZ")}))
    assert read == msgspec.structs.replace(check, tick_at=tick_at)


@given(CHECKS, INSTANTS, st.sampled_from([Origin.MANUAL, Origin.ADHOC]))
def test_an_immediate_check_is_decoded_as_it_was_sent(check: Check, instant: datetime, origin: Origin) -> None:
    sent = msgspec.structs.replace(check, tick_at=instant, origin=origin, reply_to="_INBOX.x")
    assert read_check(stored_message(schedules.immediate_check(sent, 0).body)) == sent


@given(CHECKS, INSTANTS)
def test_a_recheck_contains_its_own_time(check: Check, instant: datetime) -> None:
    body = schedules.recheck(check, 0, instant).body
    read = read_check(stored_message(body, {"Nats-Schedule-Next": "purge"}))
    assert read == msgspec.structs.replace(check, tick_at=instant, origin=Origin.RECHECK)


@pytest.mark.parametrize("headers", [None, {}, {"Nats-Schedule-Next": "purge"}, {"Nats-Schedule-Next": "soon"}])
def test_a_tick_without_a_time_is_invalid(headers: dict[str, str] | None) -> None:
    check = msgspec.json.encode(
        {"monitor_id": "m", "tenant_id": "t", "location": "l", "kind": "http", "revision": 1}
        | {"interval_s": 60, "timeout_s": 1.0, "spec": {}}
    )
    with pytest.raises(ValueError, match=r"."):
        read_check(stored_message(check, headers))


@given(st.binary(max_size=200))
def test_garbage_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_check(stored_message(body))
