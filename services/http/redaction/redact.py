"""Redaction of secrets in texts from a server, and quoted one-line excerpts. Pure."""

import base64
import codecs
import html
import json
import re
import urllib.parse
from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from libs.model.outcome import Fact, Hop, Outcome

QUOTE_LENGTH_MAX = 100
REDACTED = "[redacted]"

# Only the start is scanned: far more than is shown, far less than a hostile response.
_SCANNED_LENGTH_MAX = 4096
# Common names of secrets in JSON, forms, queries and headers.
_NAMED_SECRET = re.compile(
    r"""((?:pass(?:word|wd)?|secret|token|api[_-]?key|authorization|cookie|session(?:[_-]?id)?|signature)
    ["']?\s*[:=]\s*["']?(?:(?:basic|bearer)\s+)?)[^\s"'&<>,;}]+""",
    re.IGNORECASE | re.VERBOSE,
)
_AUTH_SCHEME_SECRET = re.compile(r"\b((?:basic|bearer)\s+)[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE)


# Only the inner characters of a base64 text depend on the secret alone; fewer than these would match by chance.
_BASE64_LENGTH_MIN = 8


def redact_text(secrets: Iterable[str], text: str) -> str:
    """Returns `text` without the secrets, in any of their `encodings`."""
    for form in encodings(secrets):
        text = text.replace(form, REDACTED)
    return text


def encodings(secrets: Iterable[str]) -> list[str]:
    """Returns the secrets as a server may echo them, longest first: plain, percent-encoded, base64, JSON, HTML."""
    found: dict[str, None] = {}
    for secret in secrets:
        quoted = urllib.parse.quote(secret, safe="")
        found |= dict.fromkeys((secret, quoted, urllib.parse.quote_plus(secret), _lower_hex(quoted)))
        found |= dict.fromkeys((json.dumps(secret)[1:-1], html.escape(secret), *_base64_encodings(secret.encode())))
    return sorted(filter(None, found), key=len, reverse=True)


def redact_bytes(secrets: Iterable[str], data: bytes) -> bytes:
    """Returns `data` without the secrets, in UTF-8 and Latin-1."""
    for form in _byte_encodings(secrets):
        data = data.replace(form, REDACTED.encode())
    return data


def trim_partial(secrets: Iterable[str], data: bytes) -> bytes:
    """Returns truncated data without a partial character or a partial secret at its end."""
    known = _byte_encodings(secrets)
    firsts = {form[0] for form in known}
    for place in range(len(data)):
        if data[place] in firsts and any(form.startswith(data[place:]) for form in known):
            data = data[:place]
            break
    return codecs.getincrementaldecoder("utf-8")("surrogateescape").decode(data).encode(errors="surrogateescape")


def redact_named_values(text: str) -> str:
    """Returns `text` without values that follow a name such as token or password."""
    return _AUTH_SCHEME_SECRET.sub(rf"\1{REDACTED}", _NAMED_SECRET.sub(rf"\1{REDACTED}", text))


def redact_outcome(outcome: Outcome, secrets: Iterable[str]) -> Outcome:
    """Returns the outcome with the spec's secrets redacted: a server may echo them anywhere."""

    def redact_fact(fact: Fact) -> Fact:
        return redact_text(secrets, fact) if isinstance(fact, str) else fact

    def redact_hop(hop: Hop) -> Hop:
        facts = {name: redact_fact(fact) for name, fact in hop.facts.items()}
        return replace(hop, target=redact_text(secrets, hop.target), facts=facts, said=redact_text(secrets, hop.said))

    return replace(outcome, detail=redact_text(secrets, outcome.detail), hops=[redact_hop(hop) for hop in outcome.hops])


def quote_excerpt(seen: str | bytes, secrets: Iterable[str] = ()) -> str:
    """Returns a quoted one-line excerpt of about 100 characters at most."""
    text = seen.decode(errors="replace") if isinstance(seen, bytes) else seen
    text = redact_named_values(redact_text(secrets, text)[:_SCANNED_LENGTH_MAX])
    return repr(text if len(text) <= QUOTE_LENGTH_MAX else f"{text[: QUOTE_LENGTH_MAX - 1]}…")


def _byte_encodings(secrets: Iterable[str]) -> list[bytes]:
    known = encodings(secrets)
    latin = [form.encode("latin-1") for form in known if all(ord(letter) < 256 for letter in form)]
    return list(dict.fromkeys([form.encode() for form in known] + latin))


def _lower_hex(quoted: str) -> str:
    return re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), quoted)


def _base64_encodings(secret: bytes) -> Iterator[str]:
    """Yields the invariant part of a base64-encoded secret for each of its three possible alignments."""
    for before in range(3):
        text = base64.b64encode(bytes(before) + secret).decode().rstrip("=")
        inner = text[(before * 8 + 5) // 6 : (before + len(secret)) * 8 // 6]
        if len(inner) >= _BASE64_LENGTH_MIN:
            yield from (inner, inner.replace("+", "-").replace("/", "_"))
