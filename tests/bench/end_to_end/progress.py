"""A bar for each phase of the run, on a terminal; a line for each when there is none."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars


class Progress:
    """Shows where the run is. Drawn twice a second: the bench shall not measure itself."""

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("{task.description:<18}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._console = console
        self._bars = Bars(*columns, console=console, refresh_per_second=2, disable=not console.is_terminal)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    @contextlib.contextmanager
    def phase(self, name: str, total: int) -> Iterator[Callable[[int], None]]:
        """Yields the function that says how far the phase is."""
        if not self._console.is_terminal:
            self._console.print(name)
        bar = self._bars.add_task(name, total=total)
        yield lambda done: self._bars.update(bar, completed=done)
        self._bars.update(bar, completed=total)
