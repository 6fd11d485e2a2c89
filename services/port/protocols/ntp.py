"""NTP: one client request to a time server."""

import ipaddress
import struct

from services.port.protocol_api import (
    CloseSequence,
    ProtocolContext,
    ProtocolGenerator,
    ReadChunk,
    Send,
    ServiceDefinition,
    ServiceRefused,
    ServiceUnhealthy,
    printable,
)

# Seconds from the NTP epoch (1900) to the Unix epoch (1970).
_UNIX_EPOCH_S = 2_208_988_800
_ERA_S = 1 << 32
# No leap warning, version 4, mode 3: a client (RFC 5905 section 7.3).
_CLIENT_FLAGS = 0x23
_SERVER_MODE = 4
_UNSYNCHRONISED_STRATUM = 16
_LEAP_UNSYNCHRONISED = 3
_PACKET = struct.Struct(">BBbbII4s8s8s8s8s")
# RFC 5905 section 7.4, RFC 8915 section 5.7: kiss codes of a server that refuses a client.
_KISS_CODES = (
    *(b"ACST", b"AUTH", b"AUTO", b"BCST", b"CRYP", b"DENY", b"DROP", b"MCST", b"NKEY", b"NTSN", b"RATE", b"RMOT"),
    b"RSTR",
)


def ntp(context: ProtocolContext) -> ProtocolGenerator:
    """RFC 5905 sections 7.3, 7.4 and 8: one client request.

    The transmit timestamp is random: the response repeats it as the origin timestamp, and a spoofer cannot know it.
    """
    number = context.random(8)
    sent_at = context.clock()
    yield Send(bytes((_CLIENT_FLAGS,)) + bytes(39) + number)
    while True:
        datagram = yield ReadChunk()
        received_at = context.clock()
        if len(datagram) < _PACKET.size:
            continue
        response = _PACKET.unpack_from(datagram)
        if response[0] & 0b111 == _SERVER_MODE and response[8] == number:
            break
    flags, stratum, _, _, root_delay, root_dispersion, reference, _, _, receive_timestamp, transmit_timestamp = response
    context.facts["protocol_version"] = str(flags >> 3 & 0b111)
    context.facts["stratum"] = stratum
    if stratum == 0:
        _raise_kiss_code(reference.rstrip(b"\0"))
    context.facts["reference"] = _reference_id(stratum, reference)
    if stratum >= _UNSYNCHRONISED_STRATUM or flags >> 6 == _LEAP_UNSYNCHRONISED:
        raise ServiceUnhealthy("The server's clock is not synchronised")
    server_received_at, server_sent_at = _to_unix_s(receive_timestamp, sent_at), _to_unix_s(transmit_timestamp, sent_at)
    context.samples["offset_s"] = (server_received_at - sent_at + server_sent_at - received_at) / 2
    context.samples["delay_s"] = received_at - sent_at - (server_sent_at - server_received_at)
    context.samples["root_distance_s"] = root_delay / 65536 / 2 + root_dispersion / 65536
    return CloseSequence()


def _raise_kiss_code(code: bytes) -> None:
    """Raises for stratum 0: a kiss-o'-death packet, or an unsynchronised server, which sends stratum 16 as 0."""
    if code in _KISS_CODES:
        raise ServiceRefused("The server refuses", code)
    raise ServiceUnhealthy("The server's clock is not synchronised", code)


def _reference_id(stratum: int, data: bytes) -> str:
    """Returns the reference id (RFC 5905 section 7.3) as text.

    It is the name of a reference clock, or the address (over IPv6, a part of its hash) of the upstream server.
    """
    return printable(data.rstrip(b"\0")) if stratum == 1 else str(ipaddress.IPv4Address(data))


def _to_unix_s(stamp: bytes, near: float) -> float:
    """Returns the NTP timestamp in seconds since 1970, in the era nearest to `near`."""
    seconds = int.from_bytes(stamp, "big") / _ERA_S - _UNIX_EPOCH_S
    return seconds + round((near - seconds) / _ERA_S) * _ERA_S


SERVICES = (ServiceDefinition("ntp", 123, ntp, transport="udp"),)
