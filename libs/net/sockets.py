"""Socket addresses, and the start of a connection: all connections of all probes pass the egress policy here."""

import errno
import socket
from typing import NamedTuple

from libs.net.egress import EgressPolicy
from libs.net.verdict import EgressRefusedError, os_error


class SocketAddress(NamedTuple):
    """An IP literal and a port, for a stream (TCP) or for datagrams (UDP)."""

    family: socket.AddressFamily
    host: str
    port: int
    kind: socket.SocketKind = socket.SOCK_STREAM

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if self.family == socket.AF_INET6 else f"{self.host}:{self.port}"


def literal_address(host: str, port: int) -> SocketAddress:
    """Returns the socket address of an IP literal."""
    return SocketAddress(socket.AF_INET6 if ":" in host else socket.AF_INET, host, port)


def begin_connect(address: SocketAddress, egress: EgressPolicy) -> socket.socket:
    """Returns a non-blocking socket connecting to `address`; OSError if that fails at once or the policy refuses it.

    A connected datagram socket (SOCK_DGRAM) receives from `address` only, and reports ICMP errors.
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
