"""A neighbour whose kernel has `tc netem`, whatever the kernel of this machine has: a second Linux, as a process.

It is user-mode Linux (Debian package user-mode-linux) on two tap devices of a namespace, with the root directory of
this machine to read its programs from. What it sends over the first device fares as netem is told; what it sends over
the second does not, and shows how fast the two kernels are by themselves.
"""

import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from libs.process.embedded.server_process import launcher_argv
from tests.support.netns import Namespace
from tests.support.programs import give_up, installed
from tests.support.wait import TooLateError, wait_until

# By netem, and not.
HOSTS = ("10.91.0.2", "fd91::2")
PLAIN_HOSTS = ("10.92.0.2", "fd92::2")
_HERE = Path(__file__).parent
_BOOT_S, _COMMAND_S = 60, 20
# AVX and what comes with it, by glibc's names: narrow.py says why programs in the guest must do without.
_WITHOUT_AVX = "-XSAVE,-XSAVEC,-AVX,-AVX2,-AVX512F,-AVX512BW,-AVX512DQ,-AVX512VL"


@dataclass(frozen=True)
class Seen:
    """What netem did since it was told: packets that it let pass, with repeats, and packets that it lost."""

    passed: int
    lost: int


class Guest:
    """The second kernel. What it says is in `log`."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log

    @contextlib.contextmanager
    def telling(self, words: str) -> Iterator[None]:
        """Has netem do what `words` say, for instance `delay 20ms loss 10%`; they are those of tc-netem(8)."""
        self.run(f"tc qdisc add dev vec0 root netem limit 100000 {words}")
        try:
            yield
        finally:
            self.run("tc qdisc del dev vec0 root")

    def seen(self) -> Seen:
        (queue,) = json.loads(self.run("tc -s -j qdisc show dev vec0 root"))
        return Seen(queue["packets"], queue["drops"])

    def run(self, command: str) -> str:
        """Runs a command inside, without a shell; returns what it printed."""
        assert self._process.stdin is not None
        start = len(self.said())
        self._process.stdin.write(f"{command}\n".encode())
        said = self.wait_for("guest: exit ", start, within_s=_COMMAND_S)
        printed, _, code = said.partition("guest: exit ")
        assert code.strip() == "0", f"in the guest, {command}: {printed}"
        return printed

    def wait_for(self, words: str, start: int, *, within_s: float) -> str:
        """Returns what it says after `start`, when a whole line with `words` is in it."""

        def found() -> str | None:
            said = self.said()[start:]
            if words in said and said.endswith("\n"):
                return said
            if self._process.poll() is not None:
                raise TooLateError(f"the guest ended with {self._process.returncode}: {self.said()[-3000:]}")
            return None

        try:
            return wait_until(found, within_s=within_s, what=words)
        except TooLateError as error:
            raise TooLateError(f"{error}; the guest said: {self.said()[-3000:]}") from None

    def said(self) -> str:
        return self._log.read_text(errors="replace").replace("\r", "")


@contextlib.contextmanager
def guest(here: Namespace, folder: Path) -> Iterator[Guest]:
    """Starts a second kernel as a neighbour of `here`; it ends with the context, or with this thread."""
    command = [_program(), *_options(folder)]
    for number in (0, 1):
        here.run(f"ip tuntap add dev bad{number} mode tap")
    with _started(here, command, folder) as process:
        made = Guest(process, folder / "guest.log")
        try:
            made.wait_for("guest: ready\n", 0, within_s=_BOOT_S)
        except TooLateError as error:
            give_up(f"user-mode Linux does not start here: {error}")
        for number in (0, 1):
            _join(here, made, number)
        yield made


def _program() -> str:
    """Returns the path of the second kernel; skips where there is none for this machine, or no cable to it."""
    if platform.machine() != "x86_64":
        pytest.skip(f"there is no user-mode Linux for {platform.machine()}")
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError as error:
        pytest.skip(f"there are no tunnels here: {error}")
    for name in ("tc", "insmod"):
        installed(name)
    return installed("linux.uml")


@contextlib.contextmanager
def _started(here: Namespace, command: Sequence[str], folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    narrow = [sys.executable, "-I", "-S", str(_HERE / "narrow.py")]
    with (folder / "guest.log").open("wb") as log, here.entered():
        process = subprocess.Popen(
            # By this signal it takes its own helpers with it, and by SIGKILL it does not.
            [*launcher_argv(signal.SIGTERM, None), *narrow, *command],
            stdin=subprocess.PIPE,
            bufsize=0,
            stdout=log,
            stderr=log,
            env={"PATH": "/usr/bin:/bin", "HOME": str(folder), "TMPDIR": str(folder)},
            process_group=0,
        )
    try:
        yield process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=20)


def _options(folder: Path) -> list[str]:
    cards = [f"vec{number}:transport=tap,ifname=bad{number},mac={_mac(number, 2)}" for number in (0, 1)]
    console = ["con=null", "con0=fd:0,fd:1", "quiet"]
    root = ["root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", f"init={_HERE / 'netem_guest'}"]
    return [
        *("mem=96M", "umid=guest", f"uml_dir={folder}/", f"GLIBC_TUNABLES=glibc.cpu.hwcaps={_WITHOUT_AVX}"),
        *(cards + console + root),
    ]


def _join(here: Namespace, there: Guest, number: int) -> None:
    """Gives both ends of a cable their addresses, and each other's, so that no question for them can be lost."""
    here.run(f"ip link set bad{number} address {_mac(number, 1)}")
    for run, device, mine, theirs in ((here.run, f"bad{number}", 1, 2), (there.run, f"vec{number}", 2, 1)):
        run(f"ip link set {device} addrgenmode none")
        run(f"ip addr add 10.9{number + 1}.0.{mine}/24 dev {device}")
        run(f"ip link set {device} up")
        run(f"ip addr add fd9{number + 1}::{mine}/64 dev {device} nodad")
        for host in (f"10.9{number + 1}.0.{theirs}", f"fd9{number + 1}::{theirs}"):
            run(f"ip neigh replace {host} lladdr {_mac(number, theirs)} dev {device} nud permanent")


def _mac(number: int, place: int) -> str:
    return f"02:00:00:00:9{number + 1}:0{place}"
