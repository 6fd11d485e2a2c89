"""Text rendering of an outcome: verdict, phases of each hop on one time axis, findings."""

import re
from collections.abc import Iterable, Iterator

from libs.model.outcome import Hop, Outcome, Status

_WIDTH = 40
_NUMBERED_FACT = re.compile(r"tls_((chain|finding)_[0-9]+|findings)")
_COLORS = {Status.UP: "32", Status.DEGRADED: "33", Status.DOWN: "31", Status.UNKNOWN: "35", Status.MISSED: "35"}
_BOLD, _DIM, _YELLOW, _CYAN = "1", "2", "33", "36"
_DAY_S = 86400


def render(target: str, outcome: Outcome, *, colored: bool) -> str:
    """Returns the lines to print, without a final newline; `colored` is for terminals only."""
    return "\n".join(_WaterfallRenderer(colored=colored).lines(target, outcome))


def printable(text: str) -> str:
    """Returns `text` without what could move a terminal's cursor: part of the text comes from targets."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


class _WaterfallRenderer:
    def __init__(self, *, colored: bool) -> None:
        self._colored = colored
        self._total_s = 0.0

    def lines(self, target: str, outcome: Outcome) -> Iterator[str]:
        self._total_s = max((hop.begun_s + sum(hop.phases.values()) for hop in outcome.hops), default=0.0)
        status = self._colorize(f"{_BOLD};{_COLORS[outcome.status]}", outcome.status)
        took_s = outcome.samples.get("total_s", self._total_s)
        yield f"{status}  {printable(outcome.reason)}  {printable(target)}" + (
            f"  {_format_ms(took_s)}" if took_s else ""
        )
        if outcome.detail:
            yield f"  {printable(outcome.detail)}"
        for hop in outcome.hops:
            yield ""
            yield from self._hop_lines(hop)
        yield from self._sample_lines(outcome)

    def _hop_lines(self, hop: Hop) -> Iterator[str]:
        yield (
            "  "
            + self._colorize(_BOLD, printable(hop.target))
            + (f"  [{printable(hop.address)}]" if hop.address else "")
        )
        begin_s = hop.begun_s
        for name, duration_s in hop.phases.items():
            yield f"    {_label(name):<12}{_format_ms(duration_s):>12}  {self._bar(begin_s, duration_s)}".rstrip()
            begin_s += duration_s
        yield from self._fact_lines(
            (name, str(fact)) for name, fact in hop.facts.items() if not _NUMBERED_FACT.fullmatch(name)
        )
        yield from self._numbered_lines("chain", _numbered_facts(hop, "chain"))
        yield from self._numbered_lines("findings", _numbered_facts(hop, "finding"), _YELLOW)
        if hop.said:
            yield "    first words"
            yield from (self._colorize(_DIM, f"      | {printable(line)}".rstrip()) for line in hop.said.split("\n"))

    def _fact_lines(self, rows: Iterable[tuple[str, str]]) -> Iterator[str]:
        shown = [(_label(name), printable(text)) for name, text in rows]
        width = max((len(name) for name, _ in shown), default=0)
        yield from (f"    {self._colorize(_DIM, name.ljust(width))}  {text}" for name, text in shown)

    def _numbered_lines(self, title: str, lines: list[str], color: str = "") -> Iterator[str]:
        if lines:
            yield f"    {title}"
        yield from (self._colorize(color, f"      {place} {printable(line)}") for place, line in enumerate(lines, 1))

    def _sample_lines(self, outcome: Outcome) -> Iterator[str]:
        """Yields the numbers that nothing above has shown, those of a part (`ipv4_connect_s`) among them."""
        shown = {"total_s", *(name for hop in outcome.hops for name in (*hop.phases, *hop.facts))}
        rows = [
            (name, _format_number(name, value))
            for name, value in sorted(outcome.samples.items())
            if name not in shown and name.partition("_")[2] not in shown
        ]
        if rows:
            yield from ("", "  samples", *self._fact_lines(rows))

    def _bar(self, begin_s: float, duration_s: float) -> str:
        if self._total_s <= 0:
            return ""
        start = round(_WIDTH * begin_s / self._total_s)
        end = round(_WIDTH * (begin_s + duration_s) / self._total_s)
        return " " * start + self._colorize(_CYAN, "\N{FULL BLOCK}" * (end - start) or "\N{LEFT ONE EIGHTH BLOCK}")

    def _colorize(self, color: str, text: str) -> str:
        return f"\x1b[{color}m{text}\x1b[0m" if self._colored and color else text


def _numbered_facts(hop: Hop, kind: str) -> list[str]:
    """Returns the certificates in the order in which they were sent, or what is wrong with them."""
    return [str(fact) for name, fact in hop.facts.items() if re.fullmatch(rf"tls_{kind}_[0-9]+", name)]


def _label(name: str) -> str:
    return printable(name.removesuffix("_s").replace("_", " "))


def _format_number(name: str, value: float) -> str:
    if not name.endswith("_s"):
        return f"{value:,.6g}" if value % 1 else f"{value:,.0f}"
    if abs(value) >= _DAY_S:
        return f"{value / _DAY_S:,.1f} days"
    return f"{value:,.3f} s" if abs(value) >= 1 else f"{value * 1000:,.3f} ms"


def _format_ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
