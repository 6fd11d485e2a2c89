"""The bench's command line."""

import contextlib
import sys
import time
from pathlib import Path

import uvloop
from rich.console import Console

from tests.bench.end_to_end import report
from tests.bench.end_to_end.measure import measure
from tests.bench.end_to_end.options import parse
from tests.bench.end_to_end.plant import running_plant
from tests.bench.end_to_end.progress import Progress


def main() -> int:
    options = parse()
    console = Console()
    with Progress(console) as progress, contextlib.ExitStack() as stack:
        with progress.phase("start processes", 1):
            plant = stack.enter_context(running_plant(options))
        figures = uvloop.run(measure(plant, options, progress))
    report.show(console, figures, options)
    path = options.json or Path(time.strftime("bench-%Y%m%d-%H%M%S.json"))
    report.write(path, figures, options)
    console.print(f"written to {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
