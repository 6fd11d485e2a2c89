"""Clocks: NTP."""

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

# From the era of NTP to that of Unix.
_UNIX_EPOCH_S = 2_208_988_800
_ERA_S = 1 << 32
# No leap warning, version 4, mode 3: a client (RFC 5905 section 7.3).
_CLIENT_FLAGS = 0x23
_SERVER_MODE = 4
_UNSYNCHRONISED_STRATUM = 16
_LEAP_UNSYNCHRONISED = 3
_PACKET = struct.Struct(">BBbbII4s8s8s8s8s")
# RFC 5905 section 7.4, RFC 8915 section 5.7: what a server says to clients that it does not want.
_KISS_CODES = (
    *(b"ACST", b"AUTH", b"AUTO", b"BCST", b"CRYP", b"DENY", b"DROP", b"MCST", b"NKEY", b"NTSN", b"RATE", b"RMOT"),
    b"RSTR",
)


def ntp(call: ProtocolContext) -> ProtocolGenerator:
    """RFC 5905 sections 7.3, 7.4 and 8: one question of a client.

    What stands in the place of our time is random: the answer repeats it, and nobody else can know it.
    """
    number = call.random(8)
    sent_at = call.clock()
    yield Send(bytes((_CLIENT_FLAGS,)) + bytes(39) + number)
    while True:
        datagram = yield ReadChunk()
        received_at = call.clock()
        if len(datagram) < _PACKET.size:
            continue
        answer = _PACKET.unpack_from(datagram)
        if answer[0] & 0b111 == _SERVER_MODE and answer[8] == number:
            break
    flags, stratum, _, _, root_delay, root_dispersion, reference, _, _, heard, said = answer
    call.facts["protocol_version"] = str(flags >> 3 & 0b111)
    call.facts["stratum"] = stratum
    if stratum == 0:
        _raise_kiss_code(reference.rstrip(b"\0"))
    call.facts["reference"] = _reference_id(stratum, reference)
    if stratum >= _UNSYNCHRONISED_STRATUM or flags >> 6 == _LEAP_UNSYNCHRONISED:
        raise ServiceUnhealthy("The server's clock is not synchronised")
    heard_at, said_at = _to_unix_s(heard, sent_at), _to_unix_s(said, sent_at)
    call.samples["offset_s"] = (heard_at - sent_at + said_at - received_at) / 2
    call.samples["delay_s"] = received_at - sent_at - (said_at - heard_at)
    call.samples["root_distance_s"] = root_delay / 65536 / 2 + root_dispersion / 65536
    return CloseSequence()


def _raise_kiss_code(code: bytes) -> None:
    """Stratum 0 comes with a kiss of death, or is how a server that has no time of its own sends stratum 16."""
    if code in _KISS_CODES:
        raise ServiceRefused("The server refuses", code)
    raise ServiceUnhealthy("The server's clock is not synchronised", code)


def _reference_id(stratum: int, data: bytes) -> str:
    """RFC 5905 section 7.3: the name of a clock, or the address (over IPv6, a part of its hash) of the server above."""
    return printable(data.rstrip(b"\0")) if stratum == 1 else str(ipaddress.IPv4Address(data))


def _to_unix_s(stamp: bytes, near: float) -> float:
    """Returns seconds since 1970 of the NTP timestamp, in the era that is next to `near`."""
    seconds = int.from_bytes(stamp, "big") / _ERA_S - _UNIX_EPOCH_S
    return seconds + round((near - seconds) / _ERA_S) * _ERA_S


SERVICES = (ServiceDefinition("ntp", 123, ntp, transport="udp"),)
