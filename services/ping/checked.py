"""The socket that aioping is handed: it sends one flight's packets, and lets only their answers through."""

import random
import socket
import time
from typing import Any, NamedTuple

from services.ping import sockets
from services.ping.errqueue import read_error
from services.ping.flight import Flight, Instant, Packet, kernel_rtt_s
from services.ping.packet import Reply, echo_request, read_icmp, read_icmp6

_READ_BYTES = 65_536
_ANCILLARY_BYTES = 512
# A flood that is not ours may not hold the loop.
_READ_MAX = 256
# aioping writes its own clock into the first bytes after the header, and looks for it there again.
_CLOCK = slice(8, 16)


class ReportedError(OSError):
    """ICMP errors were read. Raised through aioping so that the socket is watched anew.

    libuv stops watching a descriptor when poll tells of an error.
    """


class Answer(NamedTuple):
    """An answer that was let through: `rtt_s` is by the kernel's stamp, None if that cannot be trusted."""

    packet: Packet
    rtt_s: float | None
    ttl: int | None


class _Entry(NamedTuple):
    packet: Packet
    clock: bytes


class Checked(socket.socket):
    """A datagram ICMP socket for one flight. The kernel chooses its id and delivers nothing with another one."""

    def __init__(self, flight: Flight) -> None:
        super().__init__(flight.family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, sockets.PROTOCOLS[flight.family])
        self.answer: Answer | None = None
        self._flight = flight
        self._next: Packet | None = None
        self._sent: dict[int, _Entry] = {}
        try:
            sockets.hear_arrivals(self)
            sockets.hear_errors(self)
            if flight.ttl is not None:
                sockets.set_ttl(self, flight.ttl)
            sockets.set_fragmenting(self, dont_fragment=flight.dont_fragment)
            sockets.widen(self)
            self.bind(("::" if flight.version == 6 else "0.0.0.0", 0))  # noqa: S104 - the kernel fills in the id
        except BaseException:
            self.close()
            raise
        first = random.getrandbits(16)
        for place, packet in enumerate(flight.packets):
            packet.key = first + place & 0xFFFF

    def sends(self, packet: Packet) -> None:
        """Makes `packet` the one that leaves when aioping sends its own."""
        self._next = packet

    def sendto(self, data: Any, *_options: Any) -> int:
        """Sends the next packet in the place of aioping's `data`; returns the number of bytes."""
        packet = self._next
        if packet is None:
            raise RuntimeError("nothing is to be sent")
        self._sent[packet.key] = _Entry(packet, bytes(data[_CLOCK]))
        try:
            return self._send(packet)
        except BlockingIOError:
            raise
        except OSError:
            # It may be the error of an earlier packet, which the kernel tells with the next call.
            if not self.read_errors():
                raise
            return self._send(packet)

    def recv(self, *_options: Any) -> bytes:
        """Returns an answer as aioping wants to see it, and notes it in `answer`; BlockingIOError if there is none."""
        if self.read_errors():
            raise ReportedError
        for _ in range(_READ_MAX):
            try:
                data, ancillary, _flags, sender = self.recvmsg(_READ_BYTES, _ANCILLARY_BYTES)
            except BlockingIOError:
                raise
            except OSError as error:  # an ICMP error that came a moment ago
                self.read_errors()
                raise ReportedError from error
            shown = self._taken(data, ancillary, str(sender[0]))
            if shown is not None:
                return shown
        raise BlockingIOError

    def read_errors(self) -> bool:
        """Notes the ICMP errors that have come; tells whether there were any."""
        for number in range(_READ_MAX):
            try:
                report = read_error(self)
            except BlockingIOError:
                return number > 0
            entry = None if report is None else self._sent.get(report.key & 0xFFFF)
            if report is not None and entry is not None:
                self._flight.note(entry.packet, report)
        return True

    def count(self, delay_s: float) -> None:
        """Counts `answer`. `delay_s` is its round-trip time by aioping, which has to do if the kernel's does not."""
        if self.answer is None:
            return
        packet, rtt_s, ttl = self.answer
        self.answer = None
        self._flight.take(packet, delay_s if rtt_s is None else rtt_s, ttl, stamped=rtt_s is not None)

    def read_rest(self) -> None:
        """Counts what has come until now, by the kernel's stamps."""
        for _ in range(_READ_MAX):
            try:
                self.recv()
            except ReportedError:
                continue
            except OSError:
                return
            if self.answer is not None and self.answer.packet.sent is not None:
                self.count((time.monotonic_ns() - self.answer.packet.sent.monotonic_ns) / 1e9)

    def _send(self, packet: Packet) -> int:
        packet.sent = Instant(time.monotonic_ns(), time.time_ns())
        message = echo_request(self._flight.version, packet.key, packet.payload)
        try:
            return super().sendto(message, (self._flight.address, 0))
        except OSError:
            packet.sent = None
            raise

    def _taken(self, data: bytes, ancillary: sockets.AncillaryData, source: str) -> bytes | None:
        """Holds a message against what was sent. Returns it with aioping's clock in it if it is the first answer."""
        read = Instant(time.monotonic_ns(), time.time_ns())
        message = read_icmp6(data) if self._flight.version == 6 else read_icmp(data)
        entry = self._sent.get(message.key & 0xFFFF) if isinstance(message, Reply) else None
        if not isinstance(message, Reply) or entry is None or entry.packet.sent is None:
            return None
        if not self._flight.is_answer(entry.packet, message, source):
            return None
        rtt_s, ttl = kernel_rtt_s(entry.packet.sent, read, sockets.stamp_ns(ancillary)), sockets.hop_limit(ancillary)
        if entry.packet.answered:
            self._flight.take(entry.packet, 0.0, ttl)
            return None
        self.answer = Answer(entry.packet, rtt_s, ttl)
        return data[: _CLOCK.start] + entry.clock + data[_CLOCK.stop :]
