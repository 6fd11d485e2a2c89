"""Whatever bytes come in, what is not an answer to us is none, and nothing crashes."""

import socket
import struct

from hypothesis import given
from hypothesis import strategies as st

from services.ping.icmp import (
    EchoReply,
    IcmpError,
    checksum,
    encode_echo_request,
    has_valid_checksum,
    parse_icmp,
    parse_icmp6,
    parse_ipv4,
)
from services.ping.transports.error_queue import parse_extended_error

KEYS = st.integers(0, 0xFFFFFFFF)
PAYLOADS = st.binary(min_size=16, max_size=200)
FOUR, OTHER_FOUR = socket.inet_aton("192.0.2.1"), socket.inet_aton("192.0.2.2")
SIX, OTHER_SIX = (socket.inet_pton(socket.AF_INET6, text) for text in ("2001:db8::1", "2001:db8::2"))


def ipv4(message: bytes, options: bytes = b"", fragment: int = 0, protocol: int = 1) -> bytes:
    head = struct.pack(
        "!BBHHHBBH", 0x45 + len(options) // 4, 0, 20 + len(options) + len(message), 7, fragment, 61, protocol, 0
    )
    return head + FOUR + OTHER_FOUR + options + message


def ipv6(message: bytes, following: int = 58) -> bytes:
    return struct.pack("!IHBB", 6 << 28, len(message), following, 60) + SIX + OTHER_SIX + message


def with_checksum(message: bytes) -> bytes:
    return message[:2] + checksum(message).to_bytes(2, "big") + message[4:]


def reply(key: int, payload: bytes) -> bytes:
    return with_checksum(struct.pack("!BBHI", 0, 0, 0, key) + payload)


def error(kind: int, code: int, rest: int, inner: bytes) -> bytes:
    return with_checksum(struct.pack("!BBHI", kind, code, 0, rest) + inner)


@given(st.binary(max_size=300))
def test_garbage_is_nothing(data: bytes) -> None:
    assert isinstance(parse_ipv4(data), EchoReply | IcmpError | None)
    assert isinstance(parse_icmp(data), EchoReply | IcmpError | None)
    assert isinstance(parse_icmp6(data), EchoReply | IcmpError | None)


@given(st.binary(max_size=80), st.binary(max_size=80), st.booleans())
def test_garbage_in_the_error_queue_is_nothing(data: bytes, extended: bytes, is_ipv6: bool) -> None:
    target = "::1" if is_ipv6 else "127.0.0.1"
    assert isinstance(parse_extended_error(is_ipv6, data, extended, target), IcmpError | None)


@given(KEYS, PAYLOADS, st.sampled_from([b"", b"\x01" * 4, b"\x01" * 40]))
def test_a_reply_is_read_behind_an_ip_header_of_any_length(key: int, payload: bytes, options: bytes) -> None:
    assert parse_ipv4(ipv4(reply(key, payload), options)) == EchoReply(key, payload, 61)


@given(KEYS, PAYLOADS)
def test_padding_behind_the_packet_is_no_part_of_it(key: int, payload: bytes) -> None:
    assert parse_ipv4(ipv4(reply(key, payload)) + b"\xaa" * 9) == EchoReply(key, payload, 61)


@given(KEYS, PAYLOADS, st.integers(0, 10_000), st.integers(1, 255))
def test_one_turned_byte_of_a_reply_is_noticed(key: int, payload: bytes, place: int, turn: int) -> None:
    message = bytearray(reply(key, payload))
    message[place % len(message)] ^= turn
    read = parse_icmp(bytes(message))
    assert read is None or (isinstance(read, EchoReply) and not read.checksum_ok)


@given(KEYS, PAYLOADS, st.integers(0, 300))
def test_what_is_cut_off_is_never_taken_for_the_whole(key: int, payload: bytes, length: int) -> None:
    whole = ipv4(reply(key, payload))
    read = parse_ipv4(whole[: min(length, len(whole) - 1)])
    assert not isinstance(read, EchoReply) or read.payload != payload


@given(KEYS, PAYLOADS)
def test_requests_have_a_checksum_that_holds(key: int, payload: bytes) -> None:
    assert has_valid_checksum(encode_echo_request(4, key, payload))
    assert encode_echo_request(6, key, payload) == struct.pack("!BBHI", 128, 0, 0, key) + payload


@given(KEYS, PAYLOADS, st.integers(8, 300), st.sampled_from([3, 11, 12]), st.integers(0, 15))
def test_an_error_is_about_the_packet_that_it_quotes(
    key: int, payload: bytes, quoted: int, kind: int, code: int
) -> None:
    request = encode_echo_request(4, key, payload)
    read = parse_icmp(error(kind, code, 1400, ipv4(request[:quoted])))
    mtu = 1400 if (kind, code) == (3, 4) else None
    assert read == IcmpError(4, kind, code, key, OTHER_FOUR, FOUR, payload[: quoted - 8], mtu)


@given(KEYS, PAYLOADS, st.sampled_from([1, 2, 3, 4]), st.booleans())
def test_an_error_of_ipv6_is_about_the_packet_that_it_quotes(key: int, payload: bytes, kind: int, cut: bool) -> None:
    request = encode_echo_request(6, key, payload)
    inner = ipv6(struct.pack("!BBHI", 58, 0, 1, 9) + request, 44) if cut else ipv6(request)
    read = parse_icmp6(struct.pack("!BBHI", kind, 0, 0, 1280) + inner)
    assert read == IcmpError(6, kind, 0, key, OTHER_SIX, SIX, payload, 1280 if kind == 2 else None)


@given(KEYS, PAYLOADS)
def test_an_error_about_anything_else_is_nothing(key: int, payload: bytes) -> None:
    request = encode_echo_request(4, key, payload)
    assert parse_icmp(error(3, 1, 0, ipv4(request[:7]))) is None
    assert parse_icmp(error(3, 1, 0, ipv4(request, fragment=1))) is None
    assert parse_icmp(error(3, 1, 0, ipv4(request, protocol=17))) is None
    assert parse_icmp(error(3, 1, 0, ipv4(reply(key, payload)))) is None
    assert parse_icmp(error(5, 1, 0, ipv4(request))) is None
    assert parse_icmp(error(3, 1, 0, ipv4(request)) + b"\x12\x34") is None
    six = encode_echo_request(6, key, payload)
    assert parse_icmp6(error(1, 0, 0, ipv6(six, following=17))) is None
    assert parse_icmp6(error(1, 0, 0, ipv6(struct.pack("!BBHI", 58, 0, 8, 9) + six, 44))) is None
    assert parse_icmp6(error(137, 0, 0, ipv6(six))) is None


@given(st.binary(min_size=1, max_size=400))
def test_the_checksum_is_that_of_the_book(data: bytes) -> None:
    padded = data + b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    # Zero has two forms in ones' complement (RFC 1071 section 1); both verify.
    assert checksum(data) % 0xFFFF == (~total & 0xFFFF) % 0xFFFF
