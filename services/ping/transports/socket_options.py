"""ICMP sockets of Linux and their options."""

import errno
import socket
import struct
from collections.abc import Iterable

from services.ping import icmp

AncillaryData = Iterable[tuple[int, int, bytes]]

# Linux constants that the socket module lacks.
SO_RCVBUFFORCE, SO_SNDBUFFORCE = 33, 32
SO_TIMESTAMPNS = 35
SO_MEMINFO, _MEMINFO_WORDS, _DROPS = 55, 9, 8
SOL_RAW, ICMP_FILTER, ICMP6_FILTER = 255, 1, 1
IP_MTU_DISCOVER, IP_RECVERR, IP_RECVTTL = 10, 11, 12
IPV6_MTU_DISCOVER, IPV6_MTU, IPV6_RECVERR = 23, 24, 25
_PMTUDISC_DONT, _PMTUDISC_PROBE = 0, 3
_IPV6_MTU_MIN = 1280

BUFFER_BYTES = 8 << 20
# Upper bound of the buffer space that the kernel charges per packet: metadata and partly used pages.
PACKET_CHARGE_BYTES = 1280
PROTOCOLS = {socket.AF_INET: socket.IPPROTO_ICMP, socket.AF_INET6: socket.IPPROTO_ICMPV6}
_TIMESPEC = struct.Struct("@ll")
_INT = struct.Struct("@i")


def open_raw_socket(family: socket.AddressFamily) -> socket.socket:
    """Returns a non-blocking raw socket for ICMP; PermissionError if this process may not open one."""
    return socket.socket(family, socket.SOCK_RAW | socket.SOCK_NONBLOCK, PROTOCOLS[family])


def enable_receive_metadata(sock: socket.socket) -> None:
    """Enables receive timestamps and TTL as ancillary data; raw IPv4 sockets have the TTL in the packet itself."""
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
    elif sock.type == socket.SOCK_DGRAM:
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)


def enable_error_queue(sock: socket.socket) -> None:
    """Enables the error queue: ICMP errors, and packets that a full local send queue drops."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)


def set_ttl(sock: socket.socket, ttl: int) -> None:
    """Sets the TTL, or hop limit, of all packets of a socket."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, ttl)
    else:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)


def enlarge_buffers(sock: socket.socket) -> int:
    """Sets the buffers to the largest size allowed; returns the bytes of the receive buffer."""
    for forced, asked in ((SO_RCVBUFFORCE, socket.SO_RCVBUF), (SO_SNDBUFFORCE, socket.SO_SNDBUF)):
        try:
            sock.setsockopt(socket.SOL_SOCKET, forced, BUFFER_BYTES)
        except PermissionError:  # needs CAP_NET_ADMIN; without it net.core.rmem_max is the limit
            sock.setsockopt(socket.SOL_SOCKET, asked, BUFFER_BYTES)
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


def set_icmp_filter(sock: socket.socket, kinds: Iterable[int]) -> None:
    """Restricts a raw socket to these ICMP types."""
    if sock.family == socket.AF_INET:
        mask = 0xFFFFFFFF & ~sum(1 << kind for kind in set(kinds))
        sock.setsockopt(SOL_RAW, ICMP_FILTER, struct.pack("@I", mask))
        return
    words = [0xFFFFFFFF] * 8
    for kind in set(kinds):
        words[kind >> 5] &= ~(1 << (kind & 31))
    sock.setsockopt(socket.IPPROTO_ICMPV6, ICMP6_FILTER, struct.pack("@8I", *words))


RECEIVED_TYPES = {
    socket.AF_INET: icmp.ERROR_TYPES | {icmp.ECHO_REPLY},
    socket.AF_INET6: icmp.ERROR_TYPES_6 | {icmp.ECHO_REPLY_6},
}


def set_dont_fragment(sock: socket.socket, *, dont_fragment: bool) -> None:
    """Forbids fragmentation, on this machine too; or allows it.

    With IPv6 only the sender fragments (RFC 8200 section 4.5): to the minimum MTU of IPv6, because path MTU discovery
    would lose the first packets of an unknown path.
    """
    discover = _PMTUDISC_PROBE if dont_fragment else _PMTUDISC_DONT
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, discover)
        return
    sock.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, discover)
    if dont_fragment:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_DONTFRAG, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU, _IPV6_MTU_MIN)


def ttl_option(family: socket.AddressFamily, ttl: int) -> list[tuple[int, int, bytes]]:
    """Returns the ancillary data that sets the TTL, or hop limit, of one packet."""
    if family == socket.AF_INET:
        return [(socket.IPPROTO_IP, socket.IP_TTL, _INT.pack(ttl))]
    return [(socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT, _INT.pack(ttl))]


def kernel_timestamp_ns(ancillary: AncillaryData) -> int | None:
    """Returns the kernel's receive timestamp of a packet, by CLOCK_REALTIME."""
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS and len(data) >= _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack_from(data)
            return int(seconds) * 1_000_000_000 + int(nanoseconds)
    return None


def hop_limit(ancillary: AncillaryData) -> int | None:
    """Returns the TTL or hop limit of a received packet."""
    for level, kind, data in ancillary:
        if (level, kind) in ((socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT), (socket.IPPROTO_IP, socket.IP_TTL)):
            return int(_INT.unpack_from(data)[0])
    return None


def drop_count(sock: socket.socket) -> int:
    """Returns the number of packets dropped since the socket was opened because its receive buffer was full."""
    info = sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, _MEMINFO_WORDS * 4)
    return int(struct.unpack_from(f"@{_MEMINFO_WORDS}I", info)[_DROPS]) if len(info) >= _MEMINFO_WORDS * 4 else 0


def is_transient(error: OSError) -> bool:
    """Returns whether a packet was not sent because a local queue was full."""
    return error.errno in (errno.EAGAIN, errno.ENOBUFS)
