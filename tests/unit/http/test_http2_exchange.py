"""HTTP/2 responses: same result however the data is split, and a verdict for any input."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.net.tls.sessions import TlsSession
from services.http.client.exchange import HttpExchange
from services.http.client.request import first_request
from services.http.spec import HttpReason, HttpSpec
from tests.support.targets.http2 import (
    END_STREAM,
    GREETING,
    HEADERS,
    OK,
    PADDED,
    PING,
    SETTINGS,
    data,
    frame,
    goaway,
    head,
    rst,
)

ANSWERS = (
    (head(), data(b"Hello, "), data(b"world", END_STREAM)),
    (head([(":status", "103")]), head([(":status", "404")], 5)),
    (head([(":status", "302"), ("location", "/b c")]), rst(7)),
    (frame(HEADERS, b"\x88"), frame(9, b"", 4), frame(0, b"\x01Hello\0", PADDED), frame(PING, bytes(8), stream=0)),
    (head((*OK, ("content-length", "9"))), data(b"Hello", END_STREAM)),
    (head(), data(b"Hello, error"), data(b"", 0)),
    (goaway(0), head(), data(b"Hello"), goaway(2)),
    (head(), data(b"x" * 2000)),
    (head((*OK, *[("a", "b")] * 300)),),
    (frame(SETTINGS, bytes(6), stream=0) * 20,),
    (head([(":status", "500")]), data(b""), data(b"no database"), data(b"?", END_STREAM)),
    (head([(":status", "500")]), rst(13)),
)
SPEC = HttpSpec(url="https://a.example/", body_contains=("Hello",), body_lacks=("error",), body_bytes_max=1000)


class Http2Session(TlsSession):
    """TLS session that negotiated HTTP/2."""

    def __init__(self) -> None:
        """No handshake: only `alpn_protocol` is used."""

    @property
    def alpn_protocol(self) -> str | None:
        return "h2"


class RecordingTransport:
    """Transport that records the data sent."""

    def __init__(self) -> None:
        self.session: TlsSession | None = Http2Session()
        self.said = b""

    def send(self, data: bytes) -> None:
        self.said += data

    def await_first_byte(self) -> None:
        """No timing is recorded."""


def read(pieces: list[bytes], spec: HttpSpec = SPEC) -> dict[str, Any]:
    """Returns the state of the exchange after the pieces, and after the close if it is not done."""
    answer = HttpExchange(spec, first_request(spec))
    answer.wire = line = RecordingTransport()
    answer.on_connected()
    for piece in pieces:
        if piece and answer.on_data(piece):
            break
    else:
        answer.on_closed()
    answer.release()
    return {
        "status": answer.status,
        "flaw": answer.problem,
        "complete": answer.complete,
        "location": answer.location,
        "missing": answer.text_search.missing if answer.text_search else None,
        "found": answer.text_search.found if answer.text_search else None,
        "bytes": answer.body_bytes,
        "start": answer.body_start,
        "wants_http1": answer.wants_http1,
        "polite": line.said.endswith(b"\0\0\x08\x07" + bytes(13)),
    }


@given(st.sampled_from(ANSWERS), st.lists(st.integers(0, 400), max_size=8))
def test_a_response_is_parsed_the_same_however_it_is_split(answer: tuple[bytes, ...], cuts: list[int]) -> None:
    whole = GREETING + b"".join(answer)
    edges = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    pieces = [whole[start:end] for start, end in itertools.pairwise(edges)]
    assert read(pieces) == read([whole])


@given(st.sampled_from(ANSWERS), st.integers(0, 400), st.binary(min_size=1, max_size=40), st.booleans())
def test_any_bytes_end_in_a_verdict(answer: tuple[bytes, ...], at: int, noise: bytes, greets: bool) -> None:
    whole = (GREETING if greets else b"") + b"".join(answer)
    seen = read([whole[:at] + noise + whole[at + len(noise) :]])
    assert seen["complete"] != (seen["flaw"] is not None)


@given(st.lists(st.tuples(st.integers(0, 12), st.binary(max_size=12), st.integers(0, 255), st.integers(0, 5))))
def test_any_frames_end_in_a_verdict(frames: list[tuple[int, bytes, int, int]]) -> None:
    seen = read([GREETING, *[frame(kind, payload, flags, stream) for kind, payload, flags, stream in frames]])
    assert seen["complete"] != (seen["flaw"] is not None)


def test_a_redirect_is_followed_without_its_body() -> None:
    seen = read([GREETING, *ANSWERS[2]])
    assert (seen["status"], seen["location"], seen["complete"]) == (302, "/b%20c", True)


@pytest.mark.parametrize("answer", [ANSWERS[0], ANSWERS[5]])
def test_goaway_is_sent_when_the_exchange_is_done(answer: tuple[bytes, ...]) -> None:
    assert read([GREETING, *answer])["polite"]


def test_a_response_rejected_by_its_status_is_read_on_to_its_body() -> None:
    seen = read([GREETING, *ANSWERS[-2]])
    assert (seen["status"], seen["start"], seen["flaw"], seen["polite"]) == (500, b"no database", None, True)


def test_a_response_that_breaks_after_its_status_is_judged_by_its_status() -> None:
    seen = read([GREETING, *ANSWERS[-1]])
    assert (seen["status"], seen["flaw"], seen["polite"], seen["wants_http1"]) == (500, None, True, False)


def test_a_detail_has_the_error_and_no_text_of_the_server() -> None:
    flaw = read([GREETING, goaway(11)])["flaw"]
    assert flaw == (
        HttpReason.FIRST_BYTE_RESET,
        "The server ended the connection before the answer began (ENHANCE_YOUR_CALM).",
    )
