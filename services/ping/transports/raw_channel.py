"""One raw socket for each address family, and the requests in flight on it.

Every raw socket of a machine gets a copy of every reply, so that a socket for each target would cost the square of
their number. Here one socket is read, and a packet is matched by id, sequence number, source address and a random
token.
"""

import random
import socket
import time
from dataclasses import dataclass

from services.ping.echo_series import DualTimestamp, EchoRequest, EchoSeries, kernel_rtt_s
from services.ping.icmp import IcmpError, encode_echo_request, parse_icmp6, parse_ipv4
from services.ping.transports import socket_options
from services.ping.transports.raw_sender import RawSender

# Limit for one call of the loop; before a packet counts as lost, all that have arrived are read.
_READ_MAX = 256
_READ_ALL_MAX = 100_000
_ANCILLARY_BYTES = 256
_PACKET_BYTES_MAX = 65_536


@dataclass(slots=True)
class ReceivedCounts:
    """Number of packets read, and of those ignored: unrelated, too old, spoofed or malformed."""

    packets: int = 0
    ignored: int = 0


class RawChannel:
    """The sockets of one address family and the requests in flight on them."""

    def __init__(self, family: socket.AddressFamily) -> None:
        self.received = ReceivedCounts()
        self._family = family
        self._version = 6 if family == socket.AF_INET6 else 4
        self._in_flight: dict[int, EchoSeries] = {}
        self._unread_bytes = 0
        self._buffer = memoryview(bytearray(_PACKET_BYTES_MAX))
        self._dont_fragment: RawSender | None = None
        self._sock = socket_options.open_raw_socket(family)
        try:
            socket_options.set_icmp_filter(self._sock, socket_options.RECEIVED_TYPES[family])
            socket_options.enable_receive_metadata(self._sock)
            self._sender = RawSender(family, dont_fragment=False)
            self._receive_buffer_bytes = socket_options.enlarge_buffers(self._sock) // 2
        except BaseException:
            self._sock.close()
            raise

    def fileno(self) -> int:
        return self._sock.fileno()

    def close(self) -> None:
        self._sock.close()
        self._sender.close()
        if self._dont_fragment is not None:
            self._dont_fragment.close()

    @property
    def drop_count(self) -> int:
        return socket_options.drop_count(self._sock)

    def register(self, series: EchoSeries) -> None:
        """Assigns keys: a random id for each check, and consecutive sequence numbers from a random one."""
        while True:
            ident, number = random.getrandbits(16) << 16, random.getrandbits(16)
            keys = [ident | (number + place & 0xFFFF) for place in range(len(series.requests))]
            if self._in_flight.keys().isdisjoint(keys):
                break
        series.first_sequence = number
        for key, packet in zip(keys, series.requests, strict=True):
            packet.key = key
        self._in_flight |= dict.fromkeys(keys, series)

    def unregister(self, series: EchoSeries) -> None:
        """Removes the requests: later replies are ignored."""
        for packet in series.requests:
            self._in_flight.pop(packet.key, None)

    def send(self, series: EchoSeries, packet: EchoRequest) -> None:
        """Sends one request; OSError if it was not sent."""
        charge = socket_options.PACKET_CHARGE_BYTES + 2 * len(packet.payload)
        if self._unread_bytes + charge > self._receive_buffer_bytes:
            self.read_all()
        self._unread_bytes += charge
        data = encode_echo_request(self._version, packet.key, packet.payload)
        sender = self._dont_fragment_sender() if series.dont_fragment else self._sender
        packet.sent_at = sender.send(data, series.address, series.ttl)

    def read_some(self) -> None:
        """Reads packets up to a limit; the loop calls again if there are more."""
        self._read(_READ_MAX)

    def read_all(self) -> None:
        """Reads all packets that have arrived."""
        self._read(_READ_ALL_MAX)

    def _read(self, most: int) -> None:
        for _ in range(most):
            try:
                size, ancillary, _, sender = self._sock.recvmsg_into([self._buffer], _ANCILLARY_BYTES)
            except BlockingIOError:
                self._unread_bytes = 0
                return
            except OSError:
                return  # a pending socket error; the next read continues
            read = DualTimestamp(time.monotonic_ns(), time.time_ns())
            self.received.packets += 1
            if not self._on_packet(bytes(self._buffer[:size]), ancillary, str(sender[0]), read):
                self.received.ignored += 1

    def _on_packet(
        self, data: bytes, ancillary: socket_options.AncillaryData, source: str, read: DualTimestamp
    ) -> bool:
        """Records a packet if it is about a request in flight; returns whether it was."""
        message = parse_ipv4(data) if self._version == 4 else parse_icmp6(data)
        series = None if message is None else self._in_flight.get(message.key)
        if message is None or series is None:
            return False
        packet = series.requests[message.key - series.first_sequence & 0xFFFF]
        if packet.sent_at is None:
            return False
        if isinstance(message, IcmpError):
            series.record_error(packet, message._replace(sender=source))
            return True
        if not series.check_reply(packet, message, source):
            return False
        ttl = socket_options.hop_limit(ancillary) if message.ttl is None else message.ttl
        by_kernel_s = kernel_rtt_s(packet.sent_at, read, socket_options.kernel_timestamp_ns(ancillary))
        if by_kernel_s is not None:
            series.record_reply(packet, by_kernel_s, ttl)
        else:
            series.record_reply(packet, (read.monotonic_ns - packet.sent_at.monotonic_ns) / 1e9, ttl, stamped=False)
        return True

    def _dont_fragment_sender(self) -> RawSender:
        """Returns the sender with the don't-fragment flag, which is an option of sockets, not of packets."""
        if self._dont_fragment is None:
            self._dont_fragment = RawSender(self._family, dont_fragment=True)
        return self._dont_fragment
