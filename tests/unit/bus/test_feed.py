"""Cursors of the feed: parsing, and resuming from them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.bus.feed import FeedCursor, StreamCursor, _resume_cursor

STREAM_CURSORS = st.builds(StreamCursor, st.integers(0, 2**63 - 1), st.integers(0, 2**48))
FEED_CURSORS = st.builds(FeedCursor, STREAM_CURSORS, STREAM_CURSORS)


@given(FEED_CURSORS)
def test_the_text_of_a_cursor_parses_to_the_same_cursor(position: FeedCursor) -> None:
    assert FeedCursor.parse(str(position)) == position


@pytest.mark.parametrize("text", ["", "r1-e1", "r1.a-e1", "r-1.a-e1.a", "r1.a-e1.a ", "r1.G-e1.a", "x" * 1000])
def test_invalid_cursors_are_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="after"):
        FeedCursor.parse(text)


@given(FEED_CURSORS, FEED_CURSORS)
def test_resuming_skips_no_item_of_a_recreated_stream(resume_from: FeedCursor, present: FeedCursor) -> None:
    for old, now, start in (
        (resume_from.results, present.results, _resume_cursor(resume_from, present).results),
        (resume_from.events, present.events, _resume_cursor(resume_from, present).events),
    ):
        assert start.epoch == now.epoch
        assert start.seq == (min(old.seq, now.seq) if old.epoch == now.epoch else 0)
