"""What this machine knows of its own addresses and routes. Asks the kernel; sends nothing."""

import contextlib
import socket
import struct

_RTM_GETROUTE, _NLM_F_REQUEST, _NLMSG_ERROR = 26, 1, 2
_RTA_DST, _RTA_GATEWAY, _RTA_VIA = 1, 5, 18
_HEADER = struct.Struct("@IHHII")
_ROUTE = struct.Struct("@BBBBBBBBI")
_ATTRIBUTE = struct.Struct("@HH")
_WAIT_S = 1.0
_BYTES = 4096


def is_local(family: socket.AddressFamily, address: str) -> bool:
    """Tells whether an address is one of this machine's."""
    with socket.socket(family, socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
        sock.bind((address, 0))
        return True
    return False


def is_on_link(family: socket.AddressFamily, address: str) -> bool:
    """Tells whether this machine reaches an address without a router."""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
            sock.settimeout(_WAIT_S)
            sock.send(_question(family, socket.inet_pton(family, address)))
            return _is_direct(sock.recv(_BYTES))
    except OSError:
        return False


def _question(family: socket.AddressFamily, packed: bytes) -> bytes:
    """Returns the question for one route (man 7 rtnetlink)."""
    route = _ROUTE.pack(family, len(packed) * 8, 0, 0, 0, 0, 0, 0, 0)
    wanted = _ATTRIBUTE.pack(_ATTRIBUTE.size + len(packed), _RTA_DST) + packed
    size = _HEADER.size + len(route) + len(wanted)
    return _HEADER.pack(size, _RTM_GETROUTE, _NLM_F_REQUEST, 1, 0) + route + wanted


def _is_direct(answer: bytes) -> bool:
    size, kind, _, _, _ = _HEADER.unpack_from(answer)
    if kind == _NLMSG_ERROR:
        return False
    at = _HEADER.size + _ROUTE.size
    while at + _ATTRIBUTE.size <= min(size, len(answer)):
        length, attribute = _ATTRIBUTE.unpack_from(answer, at)
        if attribute in (_RTA_GATEWAY, _RTA_VIA):
            return False
        at += max(length + 3 & ~3, _ATTRIBUTE.size)
    return True
