"""Ids sort by creation where they are new, and repeat where the fact repeats."""

import uuid
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from libs.model.ids import derived_id, is_id, new_id, tick_id

parts = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\x1f"), max_size=5), max_size=4)


def test_a_new_id_is_a_version_7_uuid_of_this_moment():
    before = datetime.now(UTC).timestamp() * 1000
    value = uuid.UUID(new_id())
    after = datetime.now(UTC).timestamp() * 1000
    assert value.version == 7
    assert value.variant == uuid.RFC_4122
    assert int(before) <= value.int >> 80 <= int(after)


def test_new_ids_do_not_repeat():
    assert len({new_id() for _ in range(10_000)}) == 10_000


@given(parts, parts)
def test_derived_ids_are_equal_only_for_equal_parts(left, right):
    assert (derived_id("", *left) == derived_id("", *right)) == (left == right)


def test_only_our_spelling_of_an_id_is_an_id():
    assert is_id(new_id())
    assert not is_id(new_id().upper())
    assert not is_id("{" + new_id() + "}")
    assert not is_id("")
    assert not is_id("../../etc")


def test_two_ticks_of_one_monitor_differ():
    at = datetime(2026, 1, 1, tzinfo=UTC)
    assert tick_id("m", "local", at) != tick_id("m", "local", at.replace(second=10))
    assert tick_id("m", "local", at) != tick_id("m", "eu", at)
