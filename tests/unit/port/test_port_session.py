"""What a dialogue takes from a peer: in pieces of any size, and so much of it."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.net.tls.sessions import TlsSession
from services.port.protocol_api import CloseSequence, ProtocolAction, ProtocolGenerator, ReadExactly, ReadLine
from services.port.session import LINES_MAX, ProtocolSession
from tests.support.spoken import call


def run_actions(asks: Iterable[ProtocolAction], heard: list[bytes]) -> ProtocolSession:
    def talk() -> ProtocolGenerator:
        for ask in asks:
            piece = yield ask
            heard.append(piece)
        return CloseSequence()

    def no_session() -> TlsSession:
        raise AssertionError("nobody asked for TLS")

    dialogue = ProtocolSession(call(), talk(), no_session)
    dialogue.on_connected()
    return dialogue


@given(st.lists(st.integers(1, 9), max_size=40))
def test_the_size_of_the_pieces_changes_nothing(sizes: list[int]) -> None:
    data, heard = b"one\r\n\n" + b"\r\r\n" + b"12345" + b"last\n", list[bytes]()
    dialogue = run_actions([ReadLine(), ReadLine(5), ReadLine(), ReadExactly(5), ReadExactly(0), ReadLine(4)], heard)
    for size in [*sizes, len(data)]:
        if data:
            dialogue.on_data(data[:size])
        data = data[size:]
    assert heard == [b"one", b"", b"\r", b"12345", b"", b"last"]
    assert dialogue.finished


@pytest.mark.parametrize("peer", [b"12345", b"12345\n"])
def test_a_line_that_is_too_long_is_told(peer: bytes) -> None:
    dialogue = run_actions([ReadLine(4)], heard := [])
    assert dialogue.on_data(peer)
    assert (heard, "more than 4 bytes" in str(dialogue.error)) == ([], True)


def test_lines_without_end_are_bounded() -> None:
    dialogue = run_actions([ReadLine()] * 65_536, heard := [])
    assert dialogue.on_data(b"\n" * 65_536)
    assert (len(heard), "more than 1000 lines" in str(dialogue.error)) == (LINES_MAX, True)
