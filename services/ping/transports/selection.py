"""Choice of the ICMP transport: raw sockets, datagram sockets, or none. Logged once, at the start."""

import asyncio
import resource

import structlog

from services.ping.transports.base import REMEDY, UnavailableTransport
from services.ping.transports.datagram import DatagramIcmpTransport, open_datagram_transport
from services.ping.transports.raw import RawIcmpTransport, open_raw_transport

# Without CAP_NET_RAW every check needs a socket of its own.
SOCKETS_MAX = 400
_RESERVED_DESCRIPTORS = 100

log = structlog.get_logger("vedette.ping")

AnyIcmpTransport = RawIcmpTransport | DatagramIcmpTransport | UnavailableTransport


def open_transport(loop: asyncio.AbstractEventLoop) -> AnyIcmpTransport:
    """Returns the best transport that this process may use."""
    raw = open_raw_transport(loop)
    if raw is not None:
        log.info("ping.raw_sockets")
        return raw
    datagram = open_datagram_transport(loop, _max_sockets())
    if datagram is not None:
        log.warning("ping.datagram_sockets", at_once_max=datagram.sockets_max, better="the capability CAP_NET_RAW")
        return datagram
    log.error("ping.no_sockets", remedy=REMEDY)
    return UnavailableTransport()


def _max_sockets() -> int:
    """Returns how many checks may hold a socket at a time: at most half of this process's file descriptors."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (
        SOCKETS_MAX if most == resource.RLIM_INFINITY else max(1, min(SOCKETS_MAX, (most - _RESERVED_DESCRIPTORS) // 2))
    )
