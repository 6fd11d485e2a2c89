"""Look-ups of this machine's addresses and routes in the kernel. Sends no packets."""

import contextlib
import socket
import struct

_RTM_GETROUTE, _NLM_F_REQUEST, _NLMSG_ERROR = 26, 1, 2
_RTA_DST, _RTA_GATEWAY, _RTA_VIA = 1, 5, 18
_NLMSG_HEADER = struct.Struct("@IHHII")
_RTMSG = struct.Struct("@BBBBBBBBI")
_RTATTR = struct.Struct("@HH")
_TIMEOUT_S = 1.0
_READ_BYTES = 4096


def is_local(family: socket.AddressFamily, address: str) -> bool:
    """Returns whether an address belongs to this machine."""
    with socket.socket(family, socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
        sock.bind((address, 0))
        return True
    return False


def is_on_link(family: socket.AddressFamily, address: str) -> bool:
    """Returns whether an address is reached without a router."""
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
            sock.settimeout(_TIMEOUT_S)
            sock.send(_route_request(family, socket.inet_pton(family, address)))
            return _has_no_gateway(sock.recv(_READ_BYTES))
    except OSError:
        return False


def _route_request(family: socket.AddressFamily, packed: bytes) -> bytes:
    """Returns a netlink request for the route to an address (man 7 rtnetlink)."""
    route = _RTMSG.pack(family, len(packed) * 8, 0, 0, 0, 0, 0, 0, 0)
    wanted = _RTATTR.pack(_RTATTR.size + len(packed), _RTA_DST) + packed
    size = _NLMSG_HEADER.size + len(route) + len(wanted)
    return _NLMSG_HEADER.pack(size, _RTM_GETROUTE, _NLM_F_REQUEST, 1, 0) + route + wanted


def _has_no_gateway(answer: bytes) -> bool:
    size, kind, _, _, _ = _NLMSG_HEADER.unpack_from(answer)
    if kind == _NLMSG_ERROR:
        return False
    at = _NLMSG_HEADER.size + _RTMSG.size
    while at + _RTATTR.size <= min(size, len(answer)):
        length, attribute = _RTATTR.unpack_from(answer, at)
        if attribute in (_RTA_GATEWAY, _RTA_VIA):
            return False
        at += max(length + 3 & ~3, _RTATTR.size)
    return True
