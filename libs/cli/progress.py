"""Progress of `vedette up`: one line per step with its duration."""

import contextlib
import sys
import time
from collections.abc import Iterator


class Progress:
    """Lines for a person on stdout; on a terminal a step shows before it is done."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()

    def print_line(self, text: str) -> None:
        print(text, flush=True)  # noqa: T201 - for a person

    @contextlib.contextmanager
    def step(self, name: str, detail: str) -> Iterator[None]:
        """Shows one step; says how long it took when it has succeeded."""
        line = f"  {name:<14} {detail}"
        if self._live:
            print(f"{line} ...", end="", flush=True)  # noqa: T201
        began = time.monotonic()
        try:
            yield
        except BaseException:
            if self._live:
                print(flush=True)  # noqa: T201
            raise
        self.print_line(("\r\x1b[K" if self._live else "") + f"{line}, ready in {time.monotonic() - began:.1f} s")
