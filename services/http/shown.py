"""What of a server's words may be shown: cut, in one line, and without secrets. Pure."""

import base64
import codecs
import html
import json
import re
import urllib.parse
from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from libs.model.outcome import Fact, Hop, Outcome

SHOWN_LENGTH_MAX = 100
REDACTED = "[redacted]"

# Only the start is looked at: far more than is shown, far less than a hostile answer holds.
_WINDOW = 4096
# Names that answers give to secrets, in JSON, in forms, in queries and in headers.
_NAMED = re.compile(
    r"""((?:pass(?:word|wd)?|secret|token|api[_-]?key|authorization|cookie|session(?:[_-]?id)?|signature)
    ["']?\s*[:=]\s*["']?(?:(?:basic|bearer)\s+)?)[^\s"'&<>,;}]+""",
    re.IGNORECASE | re.VERBOSE,
)
_SCHEMED = re.compile(r"\b((?:basic|bearer)\s+)[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE)


# Of a base64 text only the inner letters of a secret are its own; fewer than these would be found by chance.
_BASE64_LENGTH_MIN = 8


def without(secrets: Iterable[str], text: str) -> str:
    """Returns `text` without the secrets themselves, as they are or in one of their `forms`; all else stays."""
    for form in forms(secrets):
        text = text.replace(form, REDACTED)
    return text


def forms(secrets: Iterable[str]) -> list[str]:
    """Returns how a server may say secrets back, longest first: plain, percent-encoded, base64, escaped for JSON, HTML."""
    found: dict[str, None] = {}
    for secret in secrets:
        quoted = urllib.parse.quote(secret, safe="")
        found |= dict.fromkeys((secret, quoted, urllib.parse.quote_plus(secret), _lower_hex(quoted)))
        found |= dict.fromkeys((json.dumps(secret)[1:-1], html.escape(secret), *_base64_forms(secret.encode())))
    return sorted(filter(None, found), key=len, reverse=True)


def covered(secrets: Iterable[str], data: bytes) -> bytes:
    """Returns what was received without the secrets, whether it is UTF-8 or Latin-1."""
    for form in _byte_forms(secrets):
        data = data.replace(form, REDACTED.encode())
    return data


def cut_off(secrets: Iterable[str], data: bytes) -> bytes:
    """Returns the start of something longer, without the piece of a character or of a secret that the cut has left."""
    known = _byte_forms(secrets)
    firsts = {form[0] for form in known}
    for place in range(len(data)):
        if data[place] in firsts and any(form.startswith(data[place:]) for form in known):
            data = data[:place]
            break
    return codecs.getincrementaldecoder("utf-8")("surrogateescape").decode(data).encode(errors="surrogateescape")


def anonymous(text: str) -> str:
    """Returns `text` without what stands behind a telling name, such as a token or a password."""
    return _SCHEMED.sub(rf"\1{REDACTED}", _NAMED.sub(rf"\1{REDACTED}", text))


def redacted(outcome: Outcome, secrets: Iterable[str]) -> Outcome:
    """Returns the outcome without what the user gave in confidence: a server may say it back anywhere."""

    def told(fact: Fact) -> Fact:
        return without(secrets, fact) if isinstance(fact, str) else fact

    def step(hop: Hop) -> Hop:
        facts = {name: told(fact) for name, fact in hop.facts.items()}
        return replace(hop, target=without(secrets, hop.target), facts=facts, said=without(secrets, hop.said))

    return replace(outcome, detail=without(secrets, outcome.detail), hops=[step(hop) for hop in outcome.hops])


def shown(seen: str | bytes, secrets: Iterable[str] = ()) -> str:
    """Returns what was seen as a quoted line for people, at most about 100 characters of it."""
    text = seen.decode(errors="replace") if isinstance(seen, bytes) else seen
    text = anonymous(without(secrets, text)[:_WINDOW])
    return repr(text if len(text) <= SHOWN_LENGTH_MAX else f"{text[: SHOWN_LENGTH_MAX - 1]}…")


def _byte_forms(secrets: Iterable[str]) -> list[bytes]:
    known = forms(secrets)
    latin = [form.encode("latin-1") for form in known if all(ord(letter) < 256 for letter in form)]
    return list(dict.fromkeys([form.encode() for form in known] + latin))


def _lower_hex(quoted: str) -> str:
    return re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), quoted)


def _base64_forms(secret: bytes) -> Iterator[str]:
    """Yields what a secret looks like inside of base64, for each place in a group of three at which it may begin."""
    for before in range(3):
        text = base64.b64encode(bytes(before) + secret).decode().rstrip("=")
        inner = text[(before * 8 + 5) // 6 : (before + len(secret)) * 8 // 6]
        if len(inner) >= _BASE64_LENGTH_MIN:
            yield from (inner, inner.replace("+", "-").replace("/", "_"))
