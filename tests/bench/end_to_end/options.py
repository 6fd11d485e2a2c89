"""What the bench is asked to do."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from libs.model.interval import INTERVALS_S

QUICK_MONITORS, QUICK_INTERVAL_S, QUICK_SECONDS = 600, 10, 10


@dataclass(frozen=True)
class Options:
    """`hanging` is the share of monitors whose target accepts the connection and never answers."""

    monitors: int
    interval_s: int
    seconds: int
    hanging: float
    probers: int
    reads_per_s: float
    json: Path | None

    @property
    def hanging_monitors(self) -> int:
        return round(self.monitors * self.hanging)


def parse(arguments: list[str] | None = None) -> Options:
    parser = argparse.ArgumentParser(prog="bench", description="Measures the whole pipeline on this machine.")
    parser.add_argument("--monitors", type=int, default=60_000, help="how many (default %(default)s)")
    parser.add_argument("--interval", type=int, default=60, choices=INTERVALS_S, metavar="S", help="of each, seconds")
    parser.add_argument("--seconds", type=int, default=120, help="how long to measure, after the warm-up")
    parser.add_argument("--hanging", type=_share, default=0.0, help="share of targets that never answer, such as 0.05")
    parser.add_argument("--probers", type=int, default=1, help="processes of the http prober")
    parser.add_argument("--reads", type=float, default=20, help="API reads a second while measuring")
    parser.add_argument("--json", type=Path, default=None, help="where to write the figures (default bench-TIME.json)")
    parser.add_argument("--quick", action="store_true", help="a few seconds with few monitors: does it run at all?")
    given = parser.parse_args(arguments)
    return Options(
        monitors=QUICK_MONITORS if given.quick else given.monitors,
        interval_s=QUICK_INTERVAL_S if given.quick else given.interval,
        seconds=QUICK_SECONDS if given.quick else given.seconds,
        hanging=given.hanging,
        probers=given.probers,
        reads_per_s=given.reads,
        json=given.json,
    )


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError("a share lies between 0 and 1")
    return value
