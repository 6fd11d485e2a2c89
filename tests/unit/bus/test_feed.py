"""The id of a live item is a place to come back to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.bus.feed import FeedCursor, StreamCursor, _resume_cursor

STREAM_CURSORS = st.builds(StreamCursor, st.integers(0, 2**63 - 1), st.integers(0, 2**48))
FEED_CURSORS = st.builds(FeedCursor, STREAM_CURSORS, STREAM_CURSORS)


@given(FEED_CURSORS)
def test_an_id_reads_back(position: FeedCursor) -> None:
    assert FeedCursor.parse(str(position)) == position


@pytest.mark.parametrize("text", ["", "r1-e1", "r1.a-e1", "r-1.a-e1.a", "r1.a-e1.a ", "r1.G-e1.a", "x" * 1000])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="after"):
        FeedCursor.parse(text)


@given(FEED_CURSORS, FEED_CURSORS)
def test_coming_back_never_skips_what_a_new_stream_holds(left_at: FeedCursor, here: FeedCursor) -> None:
    for old, now, start in (
        (left_at.results, here.results, _resume_cursor(left_at, here).results),
        (left_at.events, here.events, _resume_cursor(left_at, here).events),
    ):
        assert start.epoch == now.epoch
        assert start.seq == (min(old.seq, now.seq) if old.epoch == now.epoch else 0)
