"""The bench runs; what it measures is for people to judge."""

import json
import sys
from pathlib import Path

import pytest

from tests.support.processes import ROOT, Process


@pytest.mark.timeout(150)
def test_the_bench_measures_a_small_load_in_which_every_tick_is_stored(tmp_path: Path) -> None:
    figures_path = tmp_path / "bench-quick.json"
    command = [sys.executable, "-m", "tests.bench.end_to_end", "--quick", "--json", str(figures_path)]
    bench = Process("bench", command, log=tmp_path / "bench.log", env={"PYTHONPATH": str(ROOT)})
    bench.start()
    assert bench.wait(140) == 0, bench.tail(200)
    figures = json.loads(figures_path.read_text())
    assert figures["ticks"]["stored"] == figures["ticks"]["expected"] > 0
    assert figures["lateness"]["healthy"]["verdicts"].keys() == {"up"}
    assert figures["api_failures"] == 0
    assert all(cost > 0 for cost in figures["cpu_us_per_check"].values())
