"""The whole pipeline under load, as separate processes on this machine: `python -m tests.bench.end_to_end`."""
