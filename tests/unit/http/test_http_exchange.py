"""HTTP/1.1 responses: same result however the data is split."""

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.http.client.exchange import HttpExchange
from services.http.client.request import first_request
from services.http.spec import HttpReason, HttpSpec

HEAD = b"HTTP/1.1 200 OK\r\n"
ANSWERS = (
    HEAD + b"Content-Length: 12\r\n\r\nHello, world",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nHello\r\n7\r\n, world\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
    b"HTTP/1.1 302 Found\r\nLocation: /b c\r\nContent-Length: 9\r\n\r\nover",
    b"HTTP/1.0 200 OK\r\n\r\nuntil the close",
    HEAD + b"Content-Length: 99999999\r\n\r\n",
    HEAD + b"Content-Length: 20\r\n\r\nan error, then more",
    HEAD + b"no colon here\r\n\r\n",
    b"220 mail.example ESMTP\r\n",
    HEAD + b"Content-Length: 9\r\n\r\nfour",
    HEAD + b"a: b\r\n" * 300,
)
SPEC = HttpSpec(url="http://a.example/", body_contains=("Hello",), body_lacks=("error",), body_bytes_max=1000)


def read(pieces: list[bytes]) -> dict[str, Any]:
    """Returns the state of the exchange after the pieces, and after the close if it is not done."""
    answer = HttpExchange(SPEC, first_request(SPEC))
    for piece in pieces:
        if piece and answer.on_data(piece):
            break
    else:
        answer.on_closed()
    answer.release()
    return {
        "status": answer.status,
        "reason": answer.problem.reason if answer.problem else None,
        "complete": answer.complete,
        "location": answer.location,
        "redirects": answer.is_redirect,
        "missing": answer.text_search.missing if answer.text_search else None,
        "found": answer.text_search.found if answer.text_search else None,
    }


@given(st.sampled_from(ANSWERS), st.lists(st.integers(0, 400), max_size=8))
def test_a_response_is_parsed_the_same_however_it_is_split(answer: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(answer)) for cut in cuts), len(answer)]
    pieces = [answer[start:end] for start, end in itertools.pairwise(edges)]
    assert read(pieces) == read([answer])


@given(
    st.binary(max_size=300), st.sampled_from([b"", HEAD, HEAD + b"\r\n", HEAD + b"Transfer-Encoding: chunked\r\n\r\n"])
)
def test_any_bytes_end_in_a_verdict(noise: bytes, start: bytes) -> None:
    seen = read([start + noise])
    assert seen["complete"] != (seen["reason"] is not None)


def test_a_redirect_is_followed_without_its_body() -> None:
    seen = read([ANSWERS[3]])
    assert (seen["redirects"], seen["location"], seen["complete"]) == (True, "/b%20c", True)


def test_a_body_announced_as_too_large_is_not_read() -> None:
    assert read([ANSWERS[5]])["reason"] is HttpReason.BODY_TOO_LARGE
