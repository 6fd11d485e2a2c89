"""ICMP errors as Linux tells them to a socket of its own: the error queue (man 7 ip, IP_RECVERR)."""

import socket
import struct

from services.ping import packet, sockets
from services.ping.packet import Report

# struct sock_extended_err: errno, origin, type, code, padding, info, data; then the address of who said it.
_EXTENDED = struct.Struct("@IBBBBII")
_BY_ICMP = frozenset({2, 3})
_FAMILY = struct.Struct("@H")
_BYTES = 2048
_REQUESTS = frozenset({packet.ECHO_REQUEST, packet.ECHO_REQUEST_6})
_ECHO = struct.Struct("!BBHI")


def read_error(sock: socket.socket) -> Report | None:
    """Returns the next ICMP error of a socket, None if it is no error about an echo request of ours.

    BlockingIOError when there is none. Clears what the error did to the socket: its next call would have failed.
    """
    data, ancillary, _, target = sock.recvmsg(_BYTES, _BYTES, socket.MSG_ERRQUEUE)
    for level, kind, extended in ancillary:
        if (level, kind) in _LEVELS:
            return read_extended(sock.family == socket.AF_INET6, data, extended, str(target[0]))
    return None


_LEVELS = frozenset({(socket.IPPROTO_IP, sockets.IP_RECVERR), (socket.IPPROTO_IPV6, sockets.IPV6_RECVERR)})


def read_extended(is_ipv6: bool, data: bytes, extended: bytes, target: str) -> Report | None:
    """Returns the report in an extended error; `data` is the packet that it is about, which went to `target`."""
    if len(extended) < _EXTENDED.size or len(data) < _ECHO.size or data[0] not in _REQUESTS:
        return None
    _, origin, kind, code, _, info, _ = _EXTENDED.unpack_from(extended)
    if origin not in _BY_ICMP:
        return None
    key = _ECHO.unpack_from(data)[3]
    family = socket.AF_INET6 if is_ipv6 else socket.AF_INET
    too_big = kind == packet.TOO_BIG_6 if is_ipv6 else (kind, code) == (packet.UNREACHABLE, packet.FRAGMENTATION_NEEDED)
    return Report(
        version=6 if is_ipv6 else 4,
        kind=kind,
        code=code,
        key=key,
        target=socket.inet_pton(family, target),
        origin=b"",
        quoted=data[_ECHO.size :],
        mtu=(info or None) if too_big else None,
        said_by=_offender(extended[_EXTENDED.size :]),
    )


def _offender(address: bytes) -> str:
    """Returns the IP address in a sockaddr, "" if there is none."""
    family = _FAMILY.unpack_from(address)[0] if len(address) >= _FAMILY.size else 0
    if family == socket.AF_INET and len(address) >= 8:
        return socket.inet_ntop(socket.AF_INET, address[4:8])
    if family == socket.AF_INET6 and len(address) >= 24:
        return socket.inet_ntop(socket.AF_INET6, address[8:24])
    return ""
