"""The id of a live item is a place to come back to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.bus.live import Place, Position, _resumed

PLACES = st.builds(Place, st.integers(0, 2**63 - 1), st.integers(0, 2**48))
POSITIONS = st.builds(Position, PLACES, PLACES)


@given(POSITIONS)
def test_an_id_reads_back(position: Position) -> None:
    assert Position.parse(str(position)) == position


@pytest.mark.parametrize("text", ["", "r1-e1", "r1.a-e1", "r-1.a-e1.a", "r1.a-e1.a ", "r1.G-e1.a", "x" * 1000])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="after"):
        Position.parse(text)


@given(POSITIONS, POSITIONS)
def test_coming_back_never_skips_what_a_new_stream_holds(left_at: Position, here: Position) -> None:
    for old, now, start in (
        (left_at.results, here.results, _resumed(left_at, here).results),
        (left_at.events, here.events, _resumed(left_at, here).events),
    ):
        assert start.epoch == now.epoch
        assert start.seq == (min(old.seq, now.seq) if old.epoch == now.epoch else 0)
