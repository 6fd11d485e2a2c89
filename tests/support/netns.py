"""Network namespaces that a test makes, enters and removes: machines with their own addresses, routes and filters.

They take root, and a container that lets root make them; where that is not so the test is skipped and says why.
"""

import contextlib
import ctypes
import functools
import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.wait import wait_until

CLONE_NEWNET = 0x40000000
CAP_NET_RAW = 13
_VERSION_3 = 0x20080522
_NUMBERS = itertools.count()
_LIBC = ctypes.CDLL(None, use_errno=True)


class Namespace:
    """One network namespace, with its loopback up and nothing else."""

    def __init__(self, role: str) -> None:
        self.name = f"vdt-{os.getpid()}-{next(_NUMBERS)}-{role}"

    def run(self, command: str) -> str:
        """Runs a command inside; returns what it printed."""
        return ran(f"ip netns exec {self.name} {command}")

    def allow_datagrams(self) -> None:
        """Lets everybody have datagram ICMP sockets, as distributions do; the kernel's default is nobody."""
        self.set_sysctl("net/ipv4/ping_group_range", "0 2147483647")

    def set_sysctl(self, path: str, value: str) -> None:
        with self.entered():
            Path("/proc/sys", path).write_text(value)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Puts this thread inside: sockets that it opens belong there for good."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            _enter(f"/run/netns/{self.name}")
            yield
        finally:
            _called(_LIBC.setns(before, CLONE_NEWNET))
            os.close(before)


@contextlib.contextmanager
def namespace(role: str) -> Iterator[Namespace]:
    """Makes a namespace, and removes it with everything in it."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces take root")
    if shutil.which("ip") is None:
        pytest.fail("this test needs `ip` (package iproute2, see tests/debian-packages.txt)")
    if (refusal := _refusal()) is not None:
        pytest.skip(f"network namespaces cannot be made here: {refusal}")
    made = Namespace(role)
    ran(f"ip netns add {made.name}")
    try:
        made.run("ip link set lo up")
        made.set_sysctl("net/ipv6/conf/default/accept_dad", "0")
        yield made
    finally:
        ran(f"ip netns del {made.name}")


@functools.cache
def _refusal() -> str | None:
    """Returns why this machine lets nobody make namespaces and cables between them; None if it does."""
    name = f"vdt-{os.getpid()}-try"
    for command in (
        f"ip netns add {name}",
        f"ip link add vtry{os.getpid()} netns {name} type veth peer name p{os.getpid()} netns {name}",
    ):
        done = subprocess.run(command.split(), capture_output=True, text=True, check=False, timeout=20)
        if done.returncode != 0:
            break
    subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False, timeout=20)
    return None if done.returncode == 0 else done.stderr.strip()


def join(left: Namespace, right: Namespace, number: int, *, mtu: int = 1500) -> None:
    """Joins two namespaces by a cable: 10.NUMBER.0.1 and fdNUMBER::1 on the left, ...2 on the right."""
    ends = f"v{number}l", f"v{number}r"
    ran(f"ip link add {ends[0]} netns {left.name} mtu {mtu} type veth peer name {ends[1]} netns {right.name} mtu {mtu}")
    for place, (side, end) in enumerate(zip((left, right), ends, strict=True), start=1):
        side.run(f"ip addr add 10.{number}.0.{place}/24 dev {end}")
        side.run(f"ip addr add fd{number}::{place}/64 dev {end} nodad")
        side.run(f"ip link set {end} up")
    for side, end in zip((left, right), ends, strict=True):
        wait_until_up(side, end)


def wait_until_up(side: Namespace, device: str) -> None:
    """Returns when a device takes packets: the kernel may need a second to notice that it is plugged in."""
    wait_until(lambda: " state UP " in side.run(f"ip -o link show dev {device}"), within_s=10, what=f"{device} up")


def ran(command: str) -> str:
    done = subprocess.run(command.split(), capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


@contextlib.contextmanager
def raw_sockets(*, allowed: bool) -> Iterator[None]:
    """Takes CAP_NET_RAW from this thread for a while, or gives it back."""
    before = _effective()
    _set_effective(before | 1 << CAP_NET_RAW if allowed else before & ~(1 << CAP_NET_RAW))
    try:
        yield
    finally:
        _set_effective(before)


@contextlib.contextmanager
def inside(where: Namespace, way: str) -> Iterator[None]:
    """Puts the test inside a namespace, where it may use raw sockets or not."""
    with where.entered(), raw_sockets(allowed=way == "raw"):
        yield


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Caps(ctypes.Structure):
    _fields_ = tuple(
        (f"{name}{half}", ctypes.c_uint32) for half in (0, 1) for name in ("effective", "permitted", "inheritable")
    )


def _caps() -> _Caps:
    caps = _Caps()
    _called(_LIBC.capget(ctypes.byref(_Header(_VERSION_3, 0)), ctypes.byref(caps)))
    return caps


def _effective() -> int:
    return int(_caps().effective0)


def _set_effective(value: int) -> None:
    caps = _caps()
    caps.effective0 = value
    _called(_LIBC.capset(ctypes.byref(_Header(_VERSION_3, 0)), ctypes.byref(caps)))


def _enter(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        _called(_LIBC.setns(descriptor, CLONE_NEWNET))
    finally:
        os.close(descriptor)


def _called(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
