"""ICMP errors from the error queue of a Linux socket (man 7 ip, IP_RECVERR)."""

import socket
import struct

from services.ping import icmp
from services.ping.icmp import IcmpError
from services.ping.transports import socket_options

# struct sock_extended_err: errno, origin, type, code, padding, info, data; then the address of the error's sender.
_EXTENDED_ERR = struct.Struct("@IBBBBII")
_ICMP_ORIGINS = frozenset({2, 3})
_FAMILY = struct.Struct("@H")
_READ_BYTES = 2048
_ECHO_REQUESTS = frozenset({icmp.ECHO_REQUEST, icmp.ECHO_REQUEST_6})
_ECHO_HEADER = struct.Struct("!BBHI")


def read_error(sock: socket.socket) -> IcmpError | None:
    """Returns the next ICMP error of a socket, None if it is not about an echo request.

    BlockingIOError if there is none. Clears the pending socket error, which would make the next call fail.
    """
    data, ancillary, _, target = sock.recvmsg(_READ_BYTES, _READ_BYTES, socket.MSG_ERRQUEUE)
    for level, kind, extended in ancillary:
        if (level, kind) in _RECVERR_OPTIONS:
            return parse_extended_error(sock.family == socket.AF_INET6, data, extended, str(target[0]))
    return None


_RECVERR_OPTIONS = frozenset(
    {(socket.IPPROTO_IP, socket_options.IP_RECVERR), (socket.IPPROTO_IPV6, socket_options.IPV6_RECVERR)}
)


def parse_extended_error(is_ipv6: bool, data: bytes, extended: bytes, target: str) -> IcmpError | None:
    """Parses an extended error; `data` is the packet that caused it, `target` its destination."""
    if len(extended) < _EXTENDED_ERR.size or len(data) < _ECHO_HEADER.size or data[0] not in _ECHO_REQUESTS:
        return None
    _, origin, kind, code, _, info, _ = _EXTENDED_ERR.unpack_from(extended)
    if origin not in _ICMP_ORIGINS:
        return None
    key = _ECHO_HEADER.unpack_from(data)[3]
    family = socket.AF_INET6 if is_ipv6 else socket.AF_INET
    too_big = kind == icmp.TOO_BIG_6 if is_ipv6 else (kind, code) == (icmp.UNREACHABLE, icmp.FRAGMENTATION_NEEDED)
    return IcmpError(
        version=6 if is_ipv6 else 4,
        icmp_type=kind,
        code=code,
        key=key,
        quoted_destination=socket.inet_pton(family, target),
        quoted_source=b"",
        quoted_payload=data[_ECHO_HEADER.size :],
        mtu=(info or None) if too_big else None,
        sender=_offender_address(extended[_EXTENDED_ERR.size :]),
    )


def _offender_address(address: bytes) -> str:
    """Returns the IP address in a sockaddr, "" if there is none."""
    family = _FAMILY.unpack_from(address)[0] if len(address) >= _FAMILY.size else 0
    if family == socket.AF_INET and len(address) >= 8:
        return socket.inet_ntop(socket.AF_INET, address[4:8])
    if family == socket.AF_INET6 and len(address) >= 24:
        return socket.inet_ntop(socket.AF_INET6, address[8:24])
    return ""
