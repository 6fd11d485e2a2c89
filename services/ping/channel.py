"""One raw socket for each address family, for the whole process, and the packets that are under way in it.

Every raw socket of a machine gets a copy of every reply, so that a socket for each target would cost the square of
their number. Here one socket is read, and every packet is found by its id, its sequence number, where the reply comes
from, and a token that nobody else knows.
"""

import random
import socket
import time
from dataclasses import dataclass

from services.ping import sockets
from services.ping.flight import Flight, Instant, Packet, kernel_rtt_s
from services.ping.packet import Report, echo_request, read_icmp6, read_ipv4
from services.ping.sender import Sender

# So many packets are read before the loop gets its turn again; and before a loss is believed, all of them.
_READ_MAX = 256
_READ_ALL_MAX = 100_000
_ANCILLARY_BYTES = 256
_PACKET_BYTES_MAX = 65_536


@dataclass(slots=True)
class Heard:
    """How many packets were read, and how many of them were nobody's: foreign, older, spoofed or malformed."""

    packets: int = 0
    ignored: int = 0


class Channel:
    """The sockets of one family and the packets that are under way in it."""

    def __init__(self, family: socket.AddressFamily) -> None:
        self.heard = Heard()
        self._family = family
        self._version = 6 if family == socket.AF_INET6 else 4
        self._under_way: dict[int, Flight] = {}
        self._unread_bytes = 0
        self._buffer = memoryview(bytearray(_PACKET_BYTES_MAX))
        self._unfragmented: Sender | None = None
        self._sock = sockets.open_raw(family)
        try:
            sockets.keep_only(self._sock, sockets.WANTED[family])
            sockets.hear_arrivals(self._sock)
            self._sender = Sender(family, dont_fragment=False)
            self._window_bytes = sockets.widen(self._sock) // 2
        except BaseException:
            self._sock.close()
            raise

    def fileno(self) -> int:
        return self._sock.fileno()

    def close(self) -> None:
        self._sock.close()
        self._sender.close()
        if self._unfragmented is not None:
            self._unfragmented.close()

    @property
    def drops(self) -> int:
        return sockets.drops(self._sock)

    def enter(self, flight: Flight) -> None:
        """Gives the packets their keys: a random id for each check, and numbers that follow a random one."""
        while True:
            ident, number = random.getrandbits(16) << 16, random.getrandbits(16)
            keys = [ident | (number + place & 0xFFFF) for place in range(len(flight.packets))]
            if self._under_way.keys().isdisjoint(keys):
                break
        flight.number = number
        for key, packet in zip(keys, flight.packets, strict=True):
            packet.key = key
        self._under_way |= dict.fromkeys(keys, flight)

    def leave(self, flight: Flight) -> None:
        """Forgets the packets: what comes now comes too late for everybody."""
        for packet in flight.packets:
            self._under_way.pop(packet.key, None)

    def send(self, flight: Flight, packet: Packet) -> None:
        """Sends one packet; OSError when it did not leave."""
        charge = sockets.PACKET_CHARGE_BYTES + 2 * len(packet.payload)
        if self._unread_bytes + charge > self._window_bytes:
            self.read_all()
        self._unread_bytes += charge
        data = echo_request(self._version, packet.key, packet.payload)
        sender = self._unfragmented_sender() if flight.dont_fragment else self._sender
        packet.sent = sender.send(data, flight.address, flight.ttl)

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
            read = Instant(time.monotonic_ns(), time.time_ns())
            self.heard.packets += 1
            if not self._hear(bytes(self._buffer[:size]), ancillary, str(sender[0]), read):
                self.heard.ignored += 1

    def _hear(self, data: bytes, ancillary: sockets.AncillaryData, source: str, read: Instant) -> bool:
        """Counts a packet if it is about one of ours; tells whether it was."""
        message = read_ipv4(data) if self._version == 4 else read_icmp6(data)
        flight = None if message is None else self._under_way.get(message.key)
        if message is None or flight is None:
            return False
        packet = flight.packets[message.key - flight.number & 0xFFFF]
        if packet.sent is None:
            return False
        if isinstance(message, Report):
            flight.note(packet, message._replace(said_by=source))
            return True
        if not flight.is_answer(packet, message, source):
            return False
        ttl = sockets.hop_limit(ancillary) if message.ttl is None else message.ttl
        by_kernel_s = kernel_rtt_s(packet.sent, read, sockets.stamp_ns(ancillary))
        if by_kernel_s is not None:
            flight.take(packet, by_kernel_s, ttl)
        else:
            flight.take(packet, (read.monotonic_ns - packet.sent.monotonic_ns) / 1e9, ttl, stamped=False)
        return True

    def _unfragmented_sender(self) -> Sender:
        """Returns the sender of packets that must stay whole: that is a property of sockets, not of packets."""
        if self._unfragmented is None:
            self._unfragmented = Sender(self._family, dont_fragment=True)
        return self._unfragmented
