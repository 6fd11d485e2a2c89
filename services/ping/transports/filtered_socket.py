"""Socket given to aioping: sends the requests of one series, and returns only matching replies."""

import random
import socket
import time
from typing import Any, NamedTuple

from services.ping.echo_series import DualTimestamp, EchoRequest, EchoSeries, kernel_rtt_s
from services.ping.icmp import EchoReply, encode_echo_request, parse_icmp, parse_icmp6
from services.ping.transports import socket_options
from services.ping.transports.error_queue import read_error

_READ_BYTES = 65_536
_ANCILLARY_BYTES = 512
# Bounds the time of the loop that a flood of unrelated packets takes.
_READ_MAX = 256
# aioping writes its send time into the first bytes after the header, and reads it there again.
_AIOPING_TIMESTAMP = slice(8, 16)


class PendingIcmpError(OSError):
    """ICMP errors were read from the error queue. Raised through aioping so that the socket is watched again.

    libuv stops watching a descriptor when poll reports an error.
    """


class MatchedReply(NamedTuple):
    """A matching reply: `rtt_s` is by the kernel's timestamp, None if that is not reliable."""

    request: EchoRequest
    rtt_s: float | None
    ttl: int | None


class _SentRequest(NamedTuple):
    request: EchoRequest
    aioping_timestamp: bytes


class FilteredSocket(socket.socket):
    """A datagram ICMP socket for one series. The kernel assigns its id and delivers only replies with that id."""

    def __init__(self, series: EchoSeries) -> None:
        super().__init__(
            series.family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK, socket_options.PROTOCOLS[series.family]
        )
        self.reply: MatchedReply | None = None
        self._series = series
        self._next: EchoRequest | None = None
        self._sent: dict[int, _SentRequest] = {}
        try:
            socket_options.enable_receive_metadata(self)
            socket_options.enable_error_queue(self)
            if series.ttl is not None:
                socket_options.set_ttl(self, series.ttl)
            socket_options.set_dont_fragment(self, dont_fragment=series.dont_fragment)
            socket_options.enlarge_buffers(self)
            self.bind(("::" if series.version == 6 else "0.0.0.0", 0))  # noqa: S104 - the kernel fills in the id
        except BaseException:
            self.close()
            raise
        first = random.getrandbits(16)
        for place, packet in enumerate(series.requests):
            packet.key = first + place & 0xFFFF

    def set_next(self, packet: EchoRequest) -> None:
        """Sets the request that replaces the next one of aioping."""
        self._next = packet

    def sendto(self, data: Any, *_options: Any) -> int:
        """Sends the request set by `set_next` in place of aioping's `data`; returns the number of bytes."""
        packet = self._next
        if packet is None:
            raise RuntimeError("nothing is to be sent")
        self._sent[packet.key] = _SentRequest(packet, bytes(data[_AIOPING_TIMESTAMP]))
        try:
            return self._send(packet)
        except BlockingIOError:
            raise
        except OSError:
            # It may be the error of an earlier packet: the kernel reports those with the next call.
            if not self.read_errors():
                raise
            return self._send(packet)

    def recv(self, *_options: Any) -> bytes:
        """Returns a matching reply in aioping's format, and sets `reply`; BlockingIOError if there is none."""
        if self.read_errors():
            raise PendingIcmpError
        for _ in range(_READ_MAX):
            try:
                data, ancillary, _flags, sender = self.recvmsg(_READ_BYTES, _ANCILLARY_BYTES)
            except BlockingIOError:
                raise
            except OSError as error:  # an ICMP error that has just arrived
                self.read_errors()
                raise PendingIcmpError from error
            shown = self._match_reply(data, ancillary, str(sender[0]))
            if shown is not None:
                return shown
        raise BlockingIOError

    def read_errors(self) -> bool:
        """Records the ICMP errors in the queue; returns whether there were any."""
        for number in range(_READ_MAX):
            try:
                report = read_error(self)
            except BlockingIOError:
                return number > 0
            entry = None if report is None else self._sent.get(report.key & 0xFFFF)
            if report is not None and entry is not None:
                self._series.record_error(entry.request, report)
        return True

    def record_reply(self, delay_s: float) -> None:
        """Records `reply`. `delay_s` is the round-trip time by aioping, used if there is no kernel timestamp."""
        if self.reply is None:
            return
        packet, rtt_s, ttl = self.reply
        self.reply = None
        self._series.record_reply(packet, delay_s if rtt_s is None else rtt_s, ttl, stamped=rtt_s is not None)

    def drain(self) -> None:
        """Records all replies that have arrived, by the kernel's timestamps."""
        for _ in range(_READ_MAX):
            try:
                self.recv()
            except PendingIcmpError:
                continue
            except OSError:
                return
            if self.reply is not None and self.reply.request.sent_at is not None:
                self.record_reply((time.monotonic_ns() - self.reply.request.sent_at.monotonic_ns) / 1e9)

    def _send(self, packet: EchoRequest) -> int:
        packet.sent_at = DualTimestamp(time.monotonic_ns(), time.time_ns())
        message = encode_echo_request(self._series.version, packet.key, packet.payload)
        try:
            return super().sendto(message, (self._series.address, 0))
        except OSError:
            packet.sent_at = None
            raise

    def _match_reply(self, data: bytes, ancillary: socket_options.AncillaryData, source: str) -> bytes | None:
        """Matches a message with the sent requests.

        Returns the first reply to one, with aioping's timestamp inserted.
        """
        read = DualTimestamp(time.monotonic_ns(), time.time_ns())
        message = parse_icmp6(data) if self._series.version == 6 else parse_icmp(data)
        entry = self._sent.get(message.key & 0xFFFF) if isinstance(message, EchoReply) else None
        if not isinstance(message, EchoReply) or entry is None or entry.request.sent_at is None:
            return None
        if not self._series.check_reply(entry.request, message, source):
            return None
        rtt_s, ttl = (
            kernel_rtt_s(entry.request.sent_at, read, socket_options.kernel_timestamp_ns(ancillary)),
            socket_options.hop_limit(ancillary),
        )
        if entry.request.answered:
            self._series.record_reply(entry.request, 0.0, ttl)
            return None
        self.reply = MatchedReply(entry.request, rtt_s, ttl)
        return data[: _AIOPING_TIMESTAMP.start] + entry.aioping_timestamp + data[_AIOPING_TIMESTAMP.stop :]
