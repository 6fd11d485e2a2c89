"""Send-only raw socket. Replies are read from the channel's receiving socket."""

import socket
import time

from services.ping.echo_series import DualTimestamp
from services.ping.transports import socket_options
from services.ping.transports.error_queue import read_error

_ERRORS_MAX = 1000


class RawSender:
    """Sends ICMP messages to addresses of one family, either fragmented where needed or never.

    It enables the error queue, because only then the kernel reports a full send queue: otherwise the packet would be
    lost silently and counted against the target. The ICMP errors that the queue also gets are read elsewhere.
    """

    def __init__(self, family: socket.AddressFamily, *, dont_fragment: bool) -> None:
        self._family = family
        self._sock = socket_options.open_raw_socket(family)
        try:
            socket_options.set_icmp_filter(self._sock, ())
            socket_options.enable_error_queue(self._sock)
            socket_options.set_dont_fragment(self._sock, dont_fragment=dont_fragment)
            socket_options.enlarge_buffers(self._sock)
        except BaseException:
            self._sock.close()
            raise

    def close(self) -> None:
        self._sock.close()

    def send(self, data: bytes, address: str, ttl: int | None) -> DualTimestamp:
        """Returns the instant at which `data` was sent; OSError if it was not sent."""
        try:
            return self._send(data, address, ttl)
        except OSError as error:
            # It may be the error of an earlier packet to another target: the kernel reports those with the next call.
            if socket_options.is_transient(error) or not self._clear_errors():
                raise
            return self._send(data, address, ttl)

    def _send(self, data: bytes, address: str, ttl: int | None) -> DualTimestamp:
        begun = DualTimestamp(time.monotonic_ns(), time.time_ns())
        if ttl is None:
            self._sock.sendto(data, (address, 0))
        else:
            self._sock.sendmsg([data], socket_options.ttl_option(self._family, ttl), 0, (address, 0))
        return begun

    def _clear_errors(self) -> bool:
        """Empties the error queue; returns whether it held any."""
        for number in range(_ERRORS_MAX):
            try:
                read_error(self._sock)
            except BlockingIOError:
                return number > 0
        return True
