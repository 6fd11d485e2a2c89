"""Transport with CAP_NET_RAW: all checks of the process share one raw socket for each address family."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable
from types import TracebackType
from typing import Self

from services.ping.echo_series import EchoSeries, SendTiming
from services.ping.transports import socket_options
from services.ping.transports.base import FAMILY_UNSUPPORTED, SeriesEnd
from services.ping.transports.paced_sender import PacedSender
from services.ping.transports.pacer import Pacer
from services.ping.transports.raw_channel import RawChannel


class RawIcmpTransport:
    """Runs series over the raw channels of both address families."""

    def __init__(self, loop: asyncio.AbstractEventLoop, channels: dict[socket.AddressFamily, RawChannel]) -> None:
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

    async def run_series(self, series: EchoSeries, pace: SendTiming, deadline: float) -> SeriesEnd:
        channel = self.channels.get(series.family)
        if channel is None:
            return SeriesEnd(FAMILY_UNSUPPORTED)
        dropped = channel.drop_count
        channel.register(series)
        try:
            fault = await PacedSender(self._loop, series, pace, deadline, channel.send).run(self._pacer)
            if not series.is_settled:
                channel.read_all()
        finally:
            channel.unregister(series)
        return SeriesEnd(fault, buffer_overflowed=not series.is_settled and channel.drop_count > dropped)


def open_raw_transport(
    loop: asyncio.AbstractEventLoop, opened: Callable[[socket.AddressFamily], RawChannel] = RawChannel
) -> RawIcmpTransport | None:
    """Returns a transport over raw sockets; None if this process may not open them.

    An address family that this machine lacks is left out; if one is forbidden, the other is closed again.
    """
    channels: dict[socket.AddressFamily, RawChannel] = {}
    with contextlib.ExitStack() as stack:
        for family in socket_options.PROTOCOLS:
            try:
                channels[family] = stack.enter_context(contextlib.closing(opened(family)))
            except PermissionError:
                return None
            except OSError as error:
                if error.errno != errno.EAFNOSUPPORT:
                    raise
        stack.pop_all()
    return RawIcmpTransport(loop, channels)
