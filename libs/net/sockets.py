"""Begins a connection to one address. The one place through which every probe's connection passes."""

import errno
import socket
from typing import NamedTuple

from libs.net.egress import EgressPolicy
from libs.net.verdict import EgressRefusedError, os_error


class SocketAddress(NamedTuple):
    """One address to dial: an IP literal and a port, for a stream (TCP) or for datagrams (UDP)."""

    family: socket.AddressFamily
    host: str
    port: int
    kind: socket.SocketKind = socket.SOCK_STREAM

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if self.family == socket.AF_INET6 else f"{self.host}:{self.port}"


def literal_address(host: str, port: int) -> SocketAddress:
    """Returns the address of an IP literal."""
    return SocketAddress(socket.AF_INET6 if ":" in host else socket.AF_INET, host, port)


def begin_connect(address: SocketAddress, egress: EgressPolicy) -> socket.socket:
    """Returns a socket on its way to `address`; OSError when this machine cannot even try, or must not.

    A connected socket for datagrams (SOCK_DGRAM) takes none from strangers, and hears of ICMP errors.
    """
    refusal = egress.refusal(address.host)
    if refusal is not None:
        raise EgressRefusedError(refusal)
    sock = socket.socket(address.family, address.kind | socket.SOCK_NONBLOCK)
    try:
        code = sock.connect_ex((address.host, address.port))
    except BaseException:
        sock.close()
        raise
    if code not in (0, errno.EINPROGRESS):
        sock.close()
        raise os_error(code)
    return sock
