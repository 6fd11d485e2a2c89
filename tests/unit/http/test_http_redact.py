"""Quoted excerpts are short and without secrets."""

import string
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.http.redaction.redact import QUOTE_LENGTH_MAX, REDACTED, quote_excerpt, redact_text

SECRETS = st.text(string.ascii_letters + "/+=", min_size=12, max_size=40)


@given(st.text(max_size=200), SECRETS, st.text(max_size=200))
def test_an_echoed_secret_is_redacted(before: str, secret: str, after: str) -> None:
    for form in (secret, urllib.parse.quote(secret, safe="")):
        assert form not in quote_excerpt(f"{before}{form}{after}", {secret})
        assert form not in redact_text({secret}, f"{before}{form}{after}")


@given(st.binary(max_size=9000))
def test_any_bytes_are_quoted_in_one_short_line(seen: bytes) -> None:
    line = quote_excerpt(seen)
    assert "\n" not in line
    assert len(line) <= 2 + QUOTE_LENGTH_MAX * len(r"\U0010ffff")


@pytest.mark.parametrize(
    "seen",
    [
        '{"user": "a", "password": "hunter2"}',
        "https://a.example/?x=1&access_token=hunter2&y=2",
        "Set-Cookie: session=hunter2; Path=/",
        "Authorization: Bearer hunter2",
        "authorization=Basic hunter2==",
        "you sent bearer hunter2",
        "api_key: 'hunter2'",
    ],
)
def test_named_secrets_are_redacted(seen: str) -> None:
    assert "hunter2" not in quote_excerpt(seen)
    assert REDACTED in quote_excerpt(seen)


def test_ordinary_text_is_not_redacted() -> None:
    assert quote_excerpt('{"status": "ok", "count": 3}') == repr('{"status": "ok", "count": 3}')
