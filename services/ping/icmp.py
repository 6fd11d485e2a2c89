"""ICMP packets: encoding and parsing (RFC 792, RFC 4443). Pure; malformed and unrelated packets parse as None."""

import struct
from typing import NamedTuple

ECHO_REPLY, UNREACHABLE, ECHO_REQUEST, TIME_EXCEEDED, PARAMETER_PROBLEM = 0, 3, 8, 11, 12
ECHO_REQUEST_6, ECHO_REPLY_6 = 128, 129
UNREACHABLE_6, TOO_BIG_6, TIME_EXCEEDED_6, PARAMETER_PROBLEM_6 = 1, 2, 3, 4

ERROR_TYPES = frozenset({UNREACHABLE, TIME_EXCEEDED, PARAMETER_PROBLEM})
ERROR_TYPES_6 = frozenset({UNREACHABLE_6, TOO_BIG_6, TIME_EXCEEDED_6, PARAMETER_PROBLEM_6})

FRAGMENTATION_NEEDED = 4  # the code of UNREACHABLE that carries an MTU
_ICMP, _ICMP_6, _FRAGMENT_6 = 1, 58, 44
_HEADER = struct.Struct("!BBHI")
_IPV4_BYTES, _IPV6_BYTES, _ICMP_BYTES = 20, 40, 8


class EchoReply(NamedTuple):
    """An echo reply. `key` is its id and sequence number in one; `checksum_ok` whether its checksum is correct."""

    key: int
    payload: bytes
    ttl: int | None = None
    checksum_ok: bool = True


class IcmpError(NamedTuple):
    """An ICMP error and its quotation of the offending packet.

    `quoted_destination` and `quoted_source` are the quoted packet's addresses, as bytes; `quoted_payload` is the start
    of its payload, as far as it is quoted; `sender` is the address that sent the error, "" while it is not known.
    """

    version: int
    icmp_type: int
    code: int
    key: int
    quoted_destination: bytes
    quoted_source: bytes
    quoted_payload: bytes
    mtu: int | None = None
    sender: str = ""


def checksum(data: bytes) -> int:
    """Returns the Internet checksum of `data` (RFC 1071): 0xFFFF less the ones' complement sum of its 16-bit words."""
    return 0xFFFF - int.from_bytes(data + b"\0" if len(data) & 1 else data, "big") % 0xFFFF


def has_valid_checksum(data: bytes) -> bool:
    """Returns whether the checksum of an ICMP message is correct."""
    return not int.from_bytes(data + b"\0" if len(data) & 1 else data, "big") % 0xFFFF


def encode_echo_request(version: int, key: int, payload: bytes) -> bytes:
    """Returns an echo request. Over IPv6 the kernel fills in the checksum (RFC 3542 section 3.1)."""
    if version == 6:
        return _HEADER.pack(ECHO_REQUEST_6, 0, 0, key) + payload
    blank = _HEADER.pack(ECHO_REQUEST, 0, 0, key) + payload
    return _HEADER.pack(ECHO_REQUEST, 0, checksum(blank), key) + payload


def parse_ipv4(data: bytes) -> EchoReply | IcmpError | None:
    """Parses a packet from a raw IPv4 socket, which includes the IP header (RFC 791 section 3.1)."""
    start = _ipv4_header_bytes(data)
    if start is None:
        return None
    end = min(int.from_bytes(data[2:4], "big"), len(data))
    return parse_icmp(data[start:end], ttl=data[8])


def parse_icmp(message: bytes, ttl: int | None = None) -> EchoReply | IcmpError | None:
    """Parses an ICMP message without an IP header."""
    if len(message) < _ICMP_BYTES:
        return None
    kind, code, _, rest = _HEADER.unpack_from(message)
    if kind == ECHO_REPLY and code == 0:
        return EchoReply(rest, message[_ICMP_BYTES:], ttl, has_valid_checksum(message))
    if kind not in ERROR_TYPES or not has_valid_checksum(message):
        return None
    mtu = rest & 0xFFFF if (kind, code) == (UNREACHABLE, FRAGMENTATION_NEEDED) else None
    return _parse_error(kind, code, message[_ICMP_BYTES:], mtu or None)


def parse_icmp6(message: bytes, ttl: int | None = None) -> EchoReply | IcmpError | None:
    """Parses an ICMPv6 message. The kernel has verified its checksum (RFC 3542 section 3.1)."""
    if len(message) < _ICMP_BYTES:
        return None
    kind, code, _, rest = _HEADER.unpack_from(message)
    if kind == ECHO_REPLY_6 and code == 0:
        return EchoReply(rest, message[_ICMP_BYTES:], ttl)
    if kind not in ERROR_TYPES_6:
        return None
    return _parse_error6(kind, code, message[_ICMP_BYTES:], rest if kind == TOO_BIG_6 else None)


def _parse_error(kind: int, code: int, inner: bytes, mtu: int | None) -> IcmpError | None:
    start = _ipv4_header_bytes(inner)
    if start is None or len(inner) < start + _ICMP_BYTES:
        return None
    request, _, _, key = _HEADER.unpack_from(inner, start)
    if request != ECHO_REQUEST:
        return None
    return IcmpError(4, kind, code, key, inner[16:20], inner[12:16], inner[start + _ICMP_BYTES :], mtu)


def _parse_error6(kind: int, code: int, inner: bytes, mtu: int | None) -> IcmpError | None:
    if len(inner) < _IPV6_BYTES or inner[0] >> 4 != 6:
        return None
    following, start = inner[6], _IPV6_BYTES
    if following == _FRAGMENT_6 and len(inner) >= start + 8:
        if int.from_bytes(inner[start + 2 : start + 4], "big") >> 3:
            return None  # a later fragment, without the ICMP header
        following, start = inner[start], start + 8
    if following != _ICMP_6 or len(inner) < start + _ICMP_BYTES:
        return None
    request, _, _, key = _HEADER.unpack_from(inner, start)
    if request != ECHO_REQUEST_6:
        return None
    return IcmpError(6, kind, code, key, inner[24:40], inner[8:24], inner[start + _ICMP_BYTES :], mtu)


def _ipv4_header_bytes(data: bytes) -> int | None:
    """Returns the length of an IPv4 header before ICMP; None for other protocols and later fragments."""
    if len(data) < _IPV4_BYTES or data[0] >> 4 != 4 or data[9] != _ICMP:
        return None
    if int.from_bytes(data[6:8], "big") & 0x1FFF:
        return None
    length = (data[0] & 0x0F) * 4
    return length if _IPV4_BYTES <= length <= len(data) else None
