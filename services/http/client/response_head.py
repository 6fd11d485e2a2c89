"""Parsing of response header fields: Location, Set-Cookie, Content-Encoding, Last-Modified. Pure."""

from collections.abc import Sequence

from libs.model.outcome import Fact

# An HTTP date has 29 characters (RFC 9110 section 5.6.7); anything longer is invalid.
_DATE_LENGTH_MAX = 64

HeaderLines = Sequence[tuple[bytes, bytes]]


def decode_location(value: bytes) -> str:
    """Returns the Location header as text: UTF-8, otherwise Latin-1, with blanks percent-encoded as browsers do."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = value.decode("latin-1")
    return text.strip().replace(" ", "%20")


def set_cookies(headers: HeaderLines) -> list[str]:
    """Returns the values of all Set-Cookie lines."""
    return [value.decode("latin-1") for name, value in headers if name.lower() == b"set-cookie"]


def content_codings(headers: HeaderLines) -> str:
    """Returns all Content-Encoding lines joined as one list (RFC 9110 section 8.4); "" without any."""
    return b",".join(value for name, value in headers if name.lower() == b"content-encoding").decode("latin-1")


def announced_facts(length: int | None, changed_at: bytes) -> dict[str, Fact]:
    """Returns the facts `content_length` and `last_modified`, if the server sent them."""
    facts: dict[str, Fact] = {}
    if length is not None:
        facts["content_length"] = length
    if 0 < len(changed_at) <= _DATE_LENGTH_MAX:
        facts["last_modified"] = changed_at.decode("latin-1")
    return facts
