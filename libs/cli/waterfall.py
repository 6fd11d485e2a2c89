"""An outcome as text for a person: the verdict, and each phase of each hop on one common scale of time."""

import re
from collections.abc import Iterator

from libs.model.outcome import Hop, Outcome, Status

_WIDTH = 40
_LISTED = re.compile(r"tls_(chain|finding)_[0-9]+")
_COLORS = {Status.UP: 32, Status.DEGRADED: 33, Status.DOWN: 31, Status.UNKNOWN: 35, Status.MISSED: 35}


def render(target: str, outcome: Outcome, *, colored: bool) -> str:
    """Returns the lines to print, without a final newline."""
    color = _COLORS[outcome.status]
    status = f"\x1b[1;{color}m{outcome.status}\x1b[0m" if colored else str(outcome.status)
    total_s = sum(sum(hop.phases.values()) for hop in outcome.hops)
    lines = [f"{status}  {outcome.reason}  {printable(target)}" + (f"  {_ms(total_s).strip()}" if total_s else "")]
    if outcome.detail:
        lines.append(f"  {printable(outcome.detail)}")
    begin_s = 0.0
    for hop in outcome.hops:
        lines += ["", *_hop(hop, begin_s, total_s), *_lists(hop, colored=colored)]
        begin_s += sum(hop.phases.values())
    lines += _samples(outcome)
    return "\n".join(lines)


def printable(text: str) -> str:
    """Returns `text` without what could move a terminal's cursor: targets choose some of these words."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _hop(hop: Hop, begin_s: float, total_s: float) -> Iterator[str]:
    yield f"  {printable(hop.target)}" + (f"  [{hop.address}]" if hop.address else "")
    for name, duration_s in hop.phases.items():
        yield f"    {_words(name):<12}{_ms(duration_s)}  {_bar(begin_s, duration_s, total_s)}".rstrip()
        begin_s += duration_s
    for name, value in hop.facts.items():
        if not _LISTED.fullmatch(name):
            yield f"    {_words(name):<14} {printable(str(value))}"


def _lists(hop: Hop, *, colored: bool) -> Iterator[str]:
    """Yields the certificates in the order in which they were sent, and what is wrong with them."""
    for kind, title, color in (("chain", "chain", ""), ("finding", "findings", "\x1b[33m")):
        lines = [str(value) for name, value in hop.facts.items() if re.fullmatch(rf"tls_{kind}_[0-9]+", name)]
        if lines:
            yield f"    {title}"
        for place, line in enumerate(lines, 1):
            text = f"      {place} {printable(line)}"
            yield f"{color}{text}\x1b[0m" if color and colored else text


def _samples(outcome: Outcome) -> list[str]:
    """Returns the numbers that no hop has shown yet."""
    shown = {name for hop in outcome.hops for name in (*hop.phases, *hop.facts)}
    lines = [f"    {name:<14} {value:.6g}" for name, value in sorted(outcome.samples.items()) if name not in shown]
    return ["", "  samples", *lines] if lines else []


def _bar(begin_s: float, duration_s: float, total_s: float) -> str:
    if total_s <= 0:
        return ""
    start = round(_WIDTH * begin_s / total_s)
    end = round(_WIDTH * (begin_s + duration_s) / total_s)
    return " " * start + ("\N{FULL BLOCK}" * (end - start) or "\N{LEFT ONE EIGHTH BLOCK}")


def _words(name: str) -> str:
    return printable(name.removesuffix("_s").replace("_", " "))


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:9.1f} ms"
