"""A link that loses, delays, repeats and reorders packets, in one direction, as `tc netem` does on a device.

Where the kernel has netem, it is netem on the cable. Where it has not, a process (`carrier.py`) carries packets from
one tunnel device to another by the same rules. (`netem.py` has netem everywhere, but for replies only.)
"""

import contextlib
import fcntl
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.carrier import Rules
from tests.support.netns import Namespace, join

_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000


def has_netem(inside: Namespace) -> bool:
    command = [
        "ip",
        "netns",
        "exec",
        inside.name,
        *["tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"],
    ]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        return False
    inside.run("tc qdisc del dev lo root")
    return True


def introduce(left: Namespace, right: Namespace, number: int) -> None:
    """Tells both ends of a cable each other's hardware address, so that no question for it can be lost."""
    ends = ((left, f"v{number}l", 1), (right, f"v{number}r", 2))
    for (side, mine, place), (other, theirs, _) in zip(ends, reversed(ends), strict=True):
        words = side.run(f"ip -o link show dev {mine}").split()
        address = words[words.index("link/ether") + 1]
        for host in (f"10.{number}.0.{place}", f"fd{number}::{place}"):
            other.run(f"ip neigh replace {host} lladdr {address} dev {theirs} nud permanent")


@contextlib.contextmanager
def bad_link(left: Namespace, right: Namespace, rules: Rules) -> Iterator[str]:
    """Joins two namespaces as `netns.join(left, right, 90)`; packets from left to right fare by `rules`.

    Yields the word for what carries them.
    """
    if has_netem(left):
        join(left, right, 90)
        introduce(left, right, 90)
        left.run(f"tc qdisc add dev v90l root netem limit 100000 {rules.netem}")
        yield "tc netem"
        return
    ends = [_tunnel(side, place) for place, side in enumerate((left, right), start=1)]
    words = [str(ratio) for ratio in (rules.loss, rules.delay_s, rules.duplicate, rules.reorder)]
    command = [sys.executable, "-S", str(Path(__file__).with_name("carrier.py")), *map(str, ends), *words]
    carrier = subprocess.Popen(command, pass_fds=ends)
    try:
        yield "a process between two tunnels"
    finally:
        carrier.kill()
        carrier.wait()
        for end in ends:
            os.close(end)


def _tunnel(side: Namespace, place: int) -> int:
    with side.entered():
        try:
            end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        except OSError as error:
            pytest.skip(f"there are no tunnels here: {error}")
        fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH14x", b"bad0", _IFF_TUN | _IFF_NO_PI))
    side.run(f"ip addr add 10.90.0.{place}/24 dev bad0")
    side.run(f"ip addr add fd90::{place}/64 dev bad0 nodad")
    side.run("ip link set bad0 up")
    return end
