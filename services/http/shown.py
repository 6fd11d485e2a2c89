"""What of a server's words may be shown: cut, in one line, and without secrets. Pure."""

import re
import urllib.parse
from collections.abc import Iterable

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


def without(secrets: Iterable[str], text: str) -> str:
    """Returns `text` without the secrets themselves, as they are or percent-encoded; all else stays."""
    for secret in sorted(secrets, key=len, reverse=True):
        for form in dict.fromkeys((secret, urllib.parse.quote(secret, safe=""), urllib.parse.quote_plus(secret))):
            text = text.replace(form, REDACTED)
    return text


def redacted(outcome: Outcome, secrets: Iterable[str]) -> Outcome:
    """Returns the outcome without what the user gave in confidence: a server may say it back anywhere."""

    def told(fact: Fact) -> Fact:
        return without(secrets, fact) if isinstance(fact, str) else fact

    def step(hop: Hop) -> Hop:
        facts = {name: told(fact) for name, fact in hop.facts.items()}
        return replace(hop, target=without(secrets, hop.target), facts=facts)

    return replace(outcome, detail=without(secrets, outcome.detail), hops=[step(hop) for hop in outcome.hops])


def shown(seen: str | bytes, secrets: Iterable[str] = ()) -> str:
    """Returns what was seen as a quoted line for people, at most about 100 characters of it."""
    text = seen.decode(errors="replace") if isinstance(seen, bytes) else seen
    text = without(secrets, text)[:_WINDOW]
    text = _SCHEMED.sub(rf"\1{REDACTED}", _NAMED.sub(rf"\1{REDACTED}", text))
    return repr(text if len(text) <= SHOWN_LENGTH_MAX else f"{text[: SHOWN_LENGTH_MAX - 1]}…")
