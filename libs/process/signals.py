"""Signal handling: the first SIGINT or SIGTERM stops gracefully, the second at once."""

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator

import structlog
import uvloop

from libs.process.errors import StartError
from libs.process.rlimits import raise_descriptor_limit

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2

_log = structlog.get_logger()


class StopSignal:
    """Stop request. One that comes before `wait` is entered cancels the start."""

    def __init__(self, work: asyncio.Task[int]) -> None:
        self._work = work
        self._requested = False
        self._event: asyncio.Event | None = None
        self.forced = False

    def request(self) -> None:
        """Ends `wait`; the second request, or one before `wait` is entered, cancels the main task."""
        self.forced = self._requested
        if self.forced or self._event is None:
            self._work.cancel()
        else:
            self._event.set()
        self._requested = True

    async def wait(self) -> None:
        """Returns once a stop is requested."""
        self._event = asyncio.Event()
        await self._event.wait()


def run_until_stopped(main: Callable[[StopSignal], Coroutine[None, None, None]]) -> int:
    """Runs `main` in a new event loop until it returns, fails or is stopped; returns the exit code."""
    raise_descriptor_limit()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run_main(main))


def print_error(error: Exception) -> None:
    """Prints a one-line error to stderr."""
    print(f"vedette: {error}", file=sys.stderr)  # noqa: T201 - for the operator, not for the log


async def _run_main(main: Callable[[StopSignal], Coroutine[None, None, None]]) -> int:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("not inside a task")
    stop = StopSignal(task)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.request)
    try:
        await main(stop)
    except asyncio.CancelledError:
        return EXIT_FAILED if stop.forced else EXIT_OK
    except Exception as error:  # noqa: BLE001 - the last chance to report a crash
        return _report_failure(error)
    return EXIT_OK


def _report_failure(error: Exception) -> int:
    sentences = list(_start_errors(error))
    for sentence in sentences:
        print_error(sentence)
    if not sentences:
        _log.critical("process.crashed", exc_info=error)
    return EXIT_FAILED


def _start_errors(error: BaseException) -> Iterator[StartError]:
    if isinstance(error, StartError):
        yield error
    elif isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _start_errors(inner)
