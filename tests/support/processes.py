"""One operating system process with its log in a file, that can be killed as rudely as a test needs."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from libs.process.embedded.server_process import launcher_argv
from libs.process.embedded.unix_account import UnixAccount
from tests.support.wait import TooLateError, wait_until

ROOT = Path(__file__).parents[2]


class ProcessDiedError(AssertionError):
    """A process ended while somebody waited for it; its log is in the message."""


class Process:
    """A child process. It never outlives its parent, and its output is kept for when something goes wrong."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        account: UnixAccount | None = None,
    ) -> None:
        self.name = name
        self.command = list(command)
        self.log = log
        self._env = None if env is None else {**os.environ, **env}
        self._account = account
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._child is not None, f"{self.name} was never started"
        return self._child.pid

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def start(self) -> None:
        assert not self.running, f"{self.name} runs already"
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                [*launcher_argv(signal.SIGTERM, self._account), *self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._env,
                # Its own group: a Ctrl-C in the terminal reaches only pytest, which then ends its children.
                process_group=0,
            )

    def wait_until(self, ready: Callable[[], object], *, within_s: float = 20) -> None:
        """Waits until `ready` answers true; a process that ends before is an error with its log."""

        def seen() -> bool:
            if not self.running:
                raise ProcessDiedError(f"{self.name} ended with {self.exit_code}\n{self.tail()}")
            return bool(ready())

        try:
            wait_until(seen, within_s=within_s, what=f"{self.name} ready")
        except TooLateError as error:
            raise TooLateError(f"{error}\n{self.tail()}") from None

    @property
    def exit_code(self) -> int | None:
        return None if self._child is None else self._child.poll()

    def signal(self, number: signal.Signals) -> None:
        if self.running:
            os.kill(self.pid, number)

    def wait(self, within_s: float = 30) -> int:
        """Returns the exit code of a process that was told to end."""
        assert self._child is not None
        return self._child.wait(within_s)

    def kill(self) -> None:
        """Ends it with SIGKILL: no handler runs, nothing is flushed."""
        self.signal(signal.SIGKILL)
        if self._child is not None:
            self._child.wait(10)

    def terminate(self, within_s: float = 30) -> int | None:
        """Asks it to end and waits; kills it when it does not. Returns the exit code."""
        self.signal(signal.SIGTERM)
        try:
            return None if self._child is None else self._child.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ProcessDiedError(f"{self.name} ignored SIGTERM for {within_s} s\n{self.tail()}") from None

    def tail(self, lines: int = 60) -> str:
        """Returns the end of its output."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join([f"--- {self.name}: {self.log}", *text.splitlines()[-lines:]])
