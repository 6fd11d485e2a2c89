"""A raw socket that only sends. Replies come to the socket that is read, whichever of ours sent the request."""

import socket
import time

from services.ping.echo_series import DualTimestamp
from services.ping.transports import socket_options
from services.ping.transports.error_queue import read_error

_ERRORS_MAX = 1000


class RawSender:
    """Sends ICMP messages to one family of addresses, all of them in one piece or none.

    It asks for its errors, because only then the kernel tells that a queue of this machine was full: otherwise the
    packet would be gone, and the target blamed. ICMP errors, which come with that, are read elsewhere.
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
        """Returns the moment at which `data` began to leave; OSError when it did not leave."""
        try:
            return self._send(data, address, ttl)
        except OSError as error:
            # It may be what became of an earlier packet to somebody else, which the kernel tells with the next call.
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
        """Empties the queue of ICMP errors; tells whether there were any."""
        for number in range(_ERRORS_MAX):
            try:
                read_error(self._sock)
            except BlockingIOError:
                return number > 0
        return True
