"""Kernel receive timestamps: enabled system-wide, shortly after the first socket requests them."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator

from services.ping.transports import socket_options

_TRIES = 50
_TRY_S = 0.001


@contextlib.asynccontextmanager
async def enable_kernel_timestamps() -> AsyncIterator[bool]:
    """Keeps receive timestamps enabled while entered; yields whether they are active already.

    Until they are, packets are stamped when they are read, so that delays of the event loop count.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket_options.SO_TIMESTAMPNS, 1)
        yield await _wait_for_timestamp(sock)


async def _wait_for_timestamp(sock: socket.socket) -> bool:
    with contextlib.suppress(OSError):  # loopback may be down: the first replies then have no kernel timestamp
        sock.bind(("127.0.0.1", 0))
        for _ in range(_TRIES):
            sock.sendto(b"?", sock.getsockname())
            sent_ns = time.time_ns()
            await asyncio.sleep(_TRY_S)
            _, ancillary, _, _ = sock.recvmsg(1, 256)
            stamp_ns = socket_options.kernel_timestamp_ns(ancillary)
            if stamp_ns is not None and stamp_ns <= sent_ns:
                return True
    return False
