"""The way with CAP_NET_RAW: all checks of the process through one raw socket for each address family."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable
from types import TracebackType
from typing import Self

from services.ping import sockets
from services.ping.channel import Channel
from services.ping.departure import Departure
from services.ping.flight import Flight, Pace
from services.ping.pacing import Pacer
from services.ping.way import NO_FAMILY, Flown


class RawWay:
    """Sends flights through the channels of both families."""

    def __init__(self, loop: asyncio.AbstractEventLoop, channels: dict[socket.AddressFamily, Channel]) -> None:
        self.channels = channels
        self._loop = loop
        self._pacer = Pacer(loop)

    async def __aenter__(self) -> Self:
        for channel in self.channels.values():
            self._loop.add_reader(channel.fileno(), channel.read_some)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pacer.close()
        for channel in self.channels.values():
            self._loop.remove_reader(channel.fileno())
            channel.close()

    async def exchange(self, flight: Flight, pace: Pace, deadline: float) -> Flown:
        channel = self.channels.get(flight.family)
        if channel is None:
            return Flown(NO_FAMILY)
        dropped = channel.drops
        channel.enter(flight)
        try:
            fault = await Departure(self._loop, flight, pace, deadline, channel.send).run(self._pacer)
            if not flight.is_settled:
                channel.read_all()
        finally:
            channel.leave(flight)
        return Flown(fault, overflown=not flight.is_settled and channel.drops > dropped)


def open_raw(
    loop: asyncio.AbstractEventLoop, opened: Callable[[socket.AddressFamily], Channel] = Channel
) -> RawWay | None:
    """Returns the way through raw sockets; None when this process may not have them.

    A family that this machine lacks is left out; where one is forbidden nothing stays open of the other.
    """
    channels: dict[socket.AddressFamily, Channel] = {}
    with contextlib.ExitStack() as stack:
        for family in sockets.PROTOCOLS:
            try:
                channels[family] = stack.enter_context(contextlib.closing(opened(family)))
            except PermissionError:
                return None
            except OSError as error:
                if error.errno != errno.EAFNOSUPPORT:
                    raise
        stack.pop_all()
    return RawWay(loop, channels)
