"""The figures as a table for a person and as JSON for a program."""

import json
import os
import platform
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.end_to_end.measure import Figures
from tests.bench.end_to_end.options import Options

PYTHON_SIDE = ("prober", "results", "gateway")
MIB = 1024 * 1024


def as_json(figures: Figures, options: Options) -> dict[str, Any]:
    """Returns the figures, with all units in their names."""
    checks = max(1, figures.checks)
    return {
        "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "load": figures.load_average},
        "options": {
            "monitors": options.monitors,
            "interval_s": options.interval_s,
            "hanging": options.hanging,
            "probers": options.probers,
        },
        "seconds": figures.window.seconds,
        "checks": figures.checks,
        "checks_per_s": figures.checks / figures.window.seconds,
        "ticks": {"expected": figures.ticks_expected, "stored": figures.ticks_stored, "missed": missed(figures)},
        "lateness": {name: group.as_dict() for name, group in figures.groups.items()},
        "cpu_us_per_check": {name: seconds / checks * 1e6 for name, seconds in figures.cpu_s.items()},
        "cpu_share": {name: seconds / figures.window.seconds for name, seconds in figures.cpu_s.items()},
        "memory_bytes": figures.memory_bytes | {"python": python_memory(figures)},
        "api": {"all": figures.readings.overall()} | figures.readings.summary(),
        "api_failures": figures.readings.failures,
    }


def missed(figures: Figures) -> int:
    """Returns how many ticks of the window have no result: recorded as `missed`, or not recorded at all."""
    recorded = sum(group.missed for group in figures.groups.values())
    return recorded + figures.ticks_expected - figures.ticks_stored


def python_memory(figures: Figures) -> int:
    return sum(figures.memory_bytes[name] for name in PYTHON_SIDE)


def show(console: Console, figures: Figures, options: Options) -> None:
    console.print(_headline(figures, options))
    console.print(_processes(figures))
    console.print(_reads(figures))


def write(path: Path, figures: Figures, options: Options) -> None:
    path.write_text(json.dumps(as_json(figures, options), indent=2) + "\n")


def _headline(figures: Figures, options: Options) -> Table:
    table = Table(title=f"{options.monitors} monitors every {options.interval_s} s, for {figures.window.seconds:.0f} s")
    for column in ("", "measured", "goal"):
        table.add_column(column)
    table.add_row("checks stored", f"{figures.checks / figures.window.seconds:,.1f}/s", ">= 1,000/s at 60,000 / 60 s")
    for name, group in figures.groups.items():
        goal = "p99 < 1 s" if name == "healthy" else ""
        times = f"p50 {group.p50_s:.3f}  p99 {group.p99_s:.3f}  max {group.max_s:.3f} s"
        table.add_row(f"lateness, {name}", times, goal)
        table.add_row(f"verdicts, {name}", ", ".join(f"{count} {status}" for status, count in group.verdicts.items()))
    table.add_row("ticks missed", f"{missed(figures)} of {figures.ticks_expected}", "0")
    table.add_row("memory, Python side", f"{python_memory(figures) / MIB:.0f} MiB", "< 400 MB")
    read = figures.readings.overall()
    table.add_row("API reads", f"p50 {read['p50_s'] * 1e3:.1f}  p99 {read['p99_s'] * 1e3:.1f} ms", "p99 < 50 ms")
    return table


def _processes(figures: Figures) -> Table:
    table = Table(title="processes")
    table.add_column("")
    for column in ("CPU per check", "of one core", "memory"):
        table.add_column(column, justify="right")
    for name, seconds in figures.cpu_s.items():
        share = f"{seconds / figures.window.seconds:.0%}"
        memory = f"{figures.memory_bytes[name] / MIB:.0f} MiB"
        table.add_row(name, f"{seconds / max(1, figures.checks) * 1e6:.0f} us", share, memory)
    total = sum(seconds for name, seconds in figures.cpu_s.items() if name != "bench")
    share = f"{total / figures.window.seconds:.0%}"
    table.add_row("all but bench", f"{total / max(1, figures.checks) * 1e6:.0f} us", share, "", style="bold")
    return table


def _reads(figures: Figures) -> Table:
    table = Table(title=f"API reads, {figures.readings.failures} failed")
    for column in ("", "reads", "p50 ms", "p99 ms", "max ms"):
        table.add_column(column, justify="right")
    for name, read in figures.readings.summary().items():
        times = (f"{read[key] * 1e3:.1f}" for key in ("p50_s", "p99_s", "max_s"))
        table.add_row(name, str(read["reads"]), *times)
    return table
