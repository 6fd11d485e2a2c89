"""What a dialogue takes from a peer: in pieces of any size, and so much of it."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.net.tls import Session
from services.port.conversation import Ask, Exactly, Goodbye, Line, Talk
from services.port.dialogue import LINES_MAX, Dialogue
from tests.support.spoken import call


def asking(asks: Iterable[Ask], heard: list[bytes]) -> Dialogue:
    def talk() -> Talk:
        for ask in asks:
            piece = yield ask
            heard.append(piece)
        return Goodbye()

    def no_session() -> Session:
        raise AssertionError("nobody asked for TLS")

    dialogue = Dialogue(call(), talk(), no_session)
    dialogue.opened()
    return dialogue


@given(st.lists(st.integers(1, 9), max_size=40))
def test_the_size_of_the_pieces_changes_nothing(sizes: list[int]) -> None:
    data, heard = b"one\r\n\n" + b"\r\r\n" + b"12345" + b"last\n", list[bytes]()
    dialogue = asking([Line(), Line(5), Line(), Exactly(5), Exactly(0), Line(4)], heard)
    for size in [*sizes, len(data)]:
        if data:
            dialogue.received(data[:size])
        data = data[size:]
    assert heard == [b"one", b"", b"\r", b"12345", b"", b"last"]
    assert dialogue.finished


@pytest.mark.parametrize("peer", [b"12345", b"12345\n"])
def test_a_line_that_is_too_long_is_told(peer: bytes) -> None:
    dialogue = asking([Line(4)], heard := [])
    assert dialogue.received(peer)
    assert (heard, "more than 4 bytes" in str(dialogue.error)) == ([], True)


def test_lines_without_end_are_bounded() -> None:
    dialogue = asking([Line()] * 65_536, heard := [])
    assert dialogue.received(b"\n" * 65_536)
    assert (len(heard), "more than 1000 lines" in str(dialogue.error)) == (LINES_MAX, True)
