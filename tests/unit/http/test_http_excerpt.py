"""Response excerpts: printable, short, and without secrets however the data is split."""

import base64
import gzip
import string
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.http.client.exchange import BODY_START_BYTES, HttpExchange
from services.http.client.request import HttpRequest, first_request
from services.http.redaction.excerpt import EXCERPT_BYTES_MAX, response_excerpt
from services.http.redaction.redact import REDACTED
from services.http.spec import HttpSpec

SECRETS = st.text(string.ascii_letters + string.digits + "/+=üé&\"'<", min_size=12, max_size=40)
SPEC = HttpSpec(url="http://a.example/p?q=hunter2hunter2", expect_status=(418,))
REQUEST = first_request(SPEC)


def told(answer: bytes, *secrets: str, pieces: int = 1, request: HttpRequest = REQUEST, spec: HttpSpec = SPEC) -> str:
    """Returns what is kept of an answer that comes in pieces."""
    seen = HttpExchange(spec, request)
    size = -(-len(answer) // pieces)
    for place in range(0, len(answer), size):
        if seen.on_data(answer[place : place + size]):
            break
    seen.release()
    return response_excerpt(seen, answer[: min(512, size)], request, secrets)


def head(*lines: str, status: str = "500 Oh no") -> bytes:
    return "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", *lines, "")).encode()


@pytest.mark.parametrize("pieces", [1, 2, 7])
def test_an_excerpt_is_the_response_as_received(pieces: int) -> None:
    text = told(head("Server: a", "X-Two:  b") + b"<h1>no</h1>\r\nsorry", pieces=pieces)
    assert text.startswith("HTTP/1.1 500")
    assert text.partition("\n")[2].startswith("Server: a\nX-Two: b\n\n<")


@pytest.mark.parametrize("pieces", [1, 2, 7])
def test_the_start_of_a_too_large_body_is_in_the_excerpt(pieces: int) -> None:
    spec = HttpSpec(url="http://a.example/", body_bytes_max=10)
    text = told(head("Content-Length: 11", status="200 OK") + b"no database", pieces=pieces, spec=spec)
    assert text.partition("\n\n")[2].startswith("n")


def test_values_of_secret_headers_and_names_are_redacted() -> None:
    text = told(
        head("Set-Cookie: sid=abc", "X-Api-Key: abc", "Location: /b?t=abc") + b'{"token": "abc"} https://a/?abc'
    )
    assert "abc" not in text
    assert text.count(REDACTED) == 5


def test_control_characters_are_escaped() -> None:
    assert told(head() + b"a\x1b[2J\xff\x00\tb").endswith("a\\x1b[2J\N{REPLACEMENT CHARACTER}\\x00 b")
    assert told(b"\x15\x03\x01\x00\x02\x02\x28\xff") == r"\x15\x03\x01\x00\x02\x02(\xff"
    assert told(b"SSH-2.0-a\r\n") == "SSH-2.0-a"


def test_a_coded_body_is_decoded() -> None:
    assert told(head("Content-Encoding: gzip") + gzip.compress(b"no database")).endswith("\n\nno database")
    assert told(head("Content-Encoding: gzip") + b"no database").endswith("Content-Encoding: gzip")
    assert told(head("Content-Encoding: snappy") + b"no database").endswith("Content-Encoding: snappy")
    bomb = told(head("Content-Encoding: gzip") + gzip.compress(bytes(1 << 20)))
    assert len(bomb) <= EXCERPT_BYTES_MAX


def test_many_header_lines_are_counted() -> None:
    text = told(head(*(f"X-{number}: {'a' * 90}" for number in range(20))) + b"sorry")
    assert text.endswith("(15 more header lines)\n\nsorry")


def test_query_and_cookies_of_the_request_are_redacted() -> None:
    request = REQUEST._replace(cookies=(("sid", "s3cret-cookie"), ("lang", "english")))
    body = b"Cannot GET /p?q=hunter2hunter2, hunter2hunter2 s3cret-cookie english"
    text = told(head(f"Content-Length: {len(body)}") + body, request=request)
    assert text.endswith(f"Cannot GET /p?{REDACTED}, {REDACTED} {REDACTED} english")


def test_a_short_query_redacts_no_other_text() -> None:
    request = first_request(HttpSpec(url="http://a.example/p?b"))
    text = told(head("Server: b") + b"bad: /p?b %3Fb", request=request)
    assert text.endswith(f"Server: b\n\nbad: /p{REDACTED} {REDACTED}")


def forms(secret: str) -> list[bytes]:
    data = secret.encode()
    return [
        data,
        secret.encode("latin-1"),
        urllib.parse.quote(secret, safe="").encode(),
        urllib.parse.quote_plus(secret).lower().encode() if secret.islower() else data,
        base64.b64encode(b"a" + data),
        base64.urlsafe_b64encode(b"user:" + data),
    ]


@given(SECRETS, st.integers(0, 600), st.booleans(), st.integers(1, 9))
def test_a_secret_is_redacted_anywhere(secret: str, before: int, headed: bool, pieces: int) -> None:
    for form in forms(secret):
        filler = b"." * before + form + b"." * 600
        text = told(head("Server: a") + filler if headed else filler, secret, pieces=pieces)
        assert not any(leaked(each, text) for each in (*forms(secret), secret.encode()))


def leaked(form: bytes, text: str) -> bool:
    """Returns whether more than the edges of a secret remain; the edges of base64 depend on adjacent data."""
    word = form.decode("latin-1")
    return any(word[start : start + 7] in text for start in range(2, max(3, len(word) - 9)))


@given(SECRETS, st.integers(1, 11))
def test_a_truncated_secret_is_redacted(secret: str, size: int) -> None:
    body = b"." * (BODY_START_BYTES - size) + secret.encode()
    assert told(head() + body, secret).endswith("\n\n" + "." * (BODY_START_BYTES - size))
    assert told(body, secret) == "." * (BODY_START_BYTES - size)


@given(st.binary(max_size=2000), st.sampled_from([b"", head(), head("A: b"), b"HTTP/1.1 500 "]), st.integers(1, 5))
def test_any_bytes_become_a_short_printable_excerpt(noise: bytes, start: bytes, pieces: int) -> None:
    if not start + noise:
        return
    text = told(start + noise, pieces=pieces)
    assert len(text.encode()) <= EXCERPT_BYTES_MAX
    assert all(line.isprintable() for line in text.split("\n"))
