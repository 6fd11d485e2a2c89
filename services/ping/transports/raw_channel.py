"""One raw socket for each address family, for the whole process, and the packets that are under way in it.

Every raw socket of a machine gets a copy of every reply, so that a socket for each target would cost the square of
their number. Here one socket is read, and every packet is found by its id, its sequence number, where the reply comes
from, and a token that nobody else knows.
"""

import random
import socket
import time
from dataclasses import dataclass

from services.ping.echo_series import DualTimestamp, EchoRequest, EchoSeries, kernel_rtt_s
from services.ping.icmp import IcmpError, encode_echo_request, parse_icmp6, parse_ipv4
from services.ping.transports import socket_options
from services.ping.transports.raw_sender import RawSender

# So many packets are read before the loop gets its turn again; and before a loss is believed, all of them.
_READ_MAX = 256
_READ_ALL_MAX = 100_000
_ANCILLARY_BYTES = 256
_PACKET_BYTES_MAX = 65_536


@dataclass(slots=True)
class ReceivedCounts:
    """How many packets were read, and how many of them were nobody's: foreign, older, spoofed or malformed."""

    packets: int = 0
    ignored: int = 0


class RawChannel:
    """The sockets of one family and the packets that are under way in it."""

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

    def register(self, flight: EchoSeries) -> None:
        """Gives the packets their keys: a random id for each check, and numbers that follow a random one."""
        while True:
            ident, number = random.getrandbits(16) << 16, random.getrandbits(16)
            keys = [ident | (number + place & 0xFFFF) for place in range(len(flight.requests))]
            if self._in_flight.keys().isdisjoint(keys):
                break
        flight.first_sequence = number
        for key, packet in zip(keys, flight.requests, strict=True):
            packet.key = key
        self._in_flight |= dict.fromkeys(keys, flight)

    def unregister(self, flight: EchoSeries) -> None:
        """Forgets the packets: what comes now comes too late for everybody."""
        for packet in flight.requests:
            self._in_flight.pop(packet.key, None)

    def send(self, flight: EchoSeries, packet: EchoRequest) -> None:
        """Sends one packet; OSError when it did not leave."""
        charge = socket_options.PACKET_CHARGE_BYTES + 2 * len(packet.payload)
        if self._unread_bytes + charge > self._receive_buffer_bytes:
            self.read_all()
        self._unread_bytes += charge
        data = encode_echo_request(self._version, packet.key, packet.payload)
        sender = self._dont_fragment_sender() if flight.dont_fragment else self._sender
        packet.sent_at = sender.send(data, flight.address, flight.ttl)

    def read_some(self) -> None:
        """Reads what has come, within a bound; the loop calls again when there is more."""
        self._read(_READ_MAX)

    def read_all(self) -> None:
        """Reads everything that has come until now."""
        self._read(_READ_ALL_MAX)

    def _read(self, most: int) -> None:
        for _ in range(most):
            try:
                size, ancillary, _, sender = self._sock.recvmsg_into([self._buffer], _ANCILLARY_BYTES)
            except BlockingIOError:
                self._unread_bytes = 0
                return
            except OSError:
                return  # a pending error of the socket, which is nobody's reply; the next read goes on
            read = DualTimestamp(time.monotonic_ns(), time.time_ns())
            self.received.packets += 1
            if not self._on_packet(bytes(self._buffer[:size]), ancillary, str(sender[0]), read):
                self.received.ignored += 1

    def _on_packet(
        self, data: bytes, ancillary: socket_options.AncillaryData, source: str, read: DualTimestamp
    ) -> bool:
        """Counts a packet if it is about one of ours; tells whether it was."""
        message = parse_ipv4(data) if self._version == 4 else parse_icmp6(data)
        flight = None if message is None else self._in_flight.get(message.key)
        if message is None or flight is None:
            return False
        packet = flight.requests[message.key - flight.first_sequence & 0xFFFF]
        if packet.sent_at is None:
            return False
        if isinstance(message, IcmpError):
            flight.record_error(packet, message._replace(sender=source))
            return True
        if not flight.check_reply(packet, message, source):
            return False
        ttl = socket_options.hop_limit(ancillary) if message.ttl is None else message.ttl
        by_kernel_s = kernel_rtt_s(packet.sent_at, read, socket_options.kernel_timestamp_ns(ancillary))
        if by_kernel_s is not None:
            flight.record_reply(packet, by_kernel_s, ttl)
        else:
            flight.record_reply(packet, (read.monotonic_ns - packet.sent_at.monotonic_ns) / 1e9, ttl, stamped=False)
        return True

    def _dont_fragment_sender(self) -> RawSender:
        """Returns the sender of packets that must stay whole: that is a property of sockets, not of packets."""
        if self._dont_fragment is None:
            self._dont_fragment = RawSender(self._family, dont_fragment=True)
        return self._dont_fragment
