"""What the head of an answer says, in a form to work with. Pure."""

from collections.abc import Sequence

from libs.model.outcome import Fact

# An HTTP date has 29 characters (RFC 9110 section 5.6.7); what is longer is none.
_DATE_LENGTH_MAX = 64

HeaderLines = Sequence[tuple[bytes, bytes]]


def decode_location(value: bytes) -> str:
    """Returns where a redirect points, as text: UTF-8 if it is, and blanks encoded as browsers do."""
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = value.decode("latin-1")
    return text.strip().replace(" ", "%20")


def set_cookies(headers: HeaderLines) -> list[str]:
    """Returns the values of all Set-Cookie lines."""
    return [value.decode("latin-1") for name, value in headers if name.lower() == b"set-cookie"]


def content_codings(headers: HeaderLines) -> str:
    """Returns the content codings as one list, which several lines may make up (RFC 9110 section 8.4); "" for none."""
    return b",".join(value for name, value in headers if name.lower() == b"content-encoding").decode("latin-1")


def announced_facts(length: int | None, changed_at: bytes) -> dict[str, Fact]:
    """Returns what the server announced, as facts: the length of the body, and when it was changed last."""
    facts: dict[str, Fact] = {}
    if length is not None:
        facts["content_length"] = length
    if 0 < len(changed_at) <= _DATE_LENGTH_MAX:
        facts["last_modified"] = changed_at.decode("latin-1")
    return facts
