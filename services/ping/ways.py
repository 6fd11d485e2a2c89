"""Which way this process can ping: raw sockets, datagram sockets, or none. Says so once, at the start."""

import asyncio
import resource

import structlog

from services.ping.datagram import DatagramWay, open_datagram
from services.ping.raw import RawWay, open_raw
from services.ping.way import REMEDY, NoWay

# Without CAP_NET_RAW every check holds a socket of its own.
SLOTS_MAX = 400
_KEPT_DESCRIPTORS = 100

log = structlog.get_logger("vedette.ping")

AnyWay = RawWay | DatagramWay | NoWay


def open_way(loop: asyncio.AbstractEventLoop) -> AnyWay:
    """Returns the best way that this process may use."""
    raw = open_raw(loop)
    if raw is not None:
        log.info("ping.raw_sockets")
        return raw
    datagram = open_datagram(loop, _slots())
    if datagram is not None:
        log.warning("ping.datagram_sockets", at_once_max=datagram.slots_max, better="the capability CAP_NET_RAW")
        return datagram
    log.error("ping.no_sockets", remedy=REMEDY)
    return NoWay()


def _slots() -> int:
    """Returns how many checks may hold a socket at a time: not more than half of what this process may open."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return SLOTS_MAX if most == resource.RLIM_INFINITY else max(1, min(SLOTS_MAX, (most - _KEPT_DESCRIPTORS) // 2))
