"""Loopback ports for servers that must come back on the same one."""

import random
import socket

# Below the ephemeral range: while a server is down, no client of its can be given its port by the kernel.
_FIRST, _LAST = 11_000, 32_000
# Hypothesis gives every test the same numbers from the module's own generator, in all processes of a run.
_chance = random.SystemRandom()


def free_port() -> int:
    """Returns a TCP port of 127.0.0.1 that nobody listens on."""
    for _ in range(200):
        port = _chance.randint(_FIRST, _LAST)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free loopback port")


def listens(port: int) -> bool:
    """Tells whether somebody accepts connections on this loopback port."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0
