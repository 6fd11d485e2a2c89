"""Message brokers: MQTT and AMQP."""

import struct
from collections.abc import Iterator

from services.port.protocol_api import (
    CloseSequence,
    ProtocolContext,
    ProtocolGenerator,
    ReadExactly,
    Send,
    ServiceDefinition,
    ServiceRefused,
    ServiceUnhealthy,
    UnexpectedAnswer,
    printable,
)

_CONNACK = 0x20
_DISCONNECT = b"\xe0\0"
_KEEP_ALIVE_S = 60
# MQTT 3.1.1 table 3.1; the codes from 0x80 are those of a server that supports MQTT 5 only (its section 3.2.2.2).
_MQTT_REFUSALS = {
    1: "it does not take MQTT 3.1.1",
    2: "it does not take our client identifier",
    0x84: "it does not take MQTT 3.1.1",
    0x85: "it does not take our client identifier",
    0x8A: "it has banned us",
    0x9F: "we connect too often",
}
_MQTT_UNHEALTHY = {3: "it is unavailable", 0x88: "it is unavailable", 0x89: "it is busy"}
_MQTT_LOGIN_REQUIRED = (4, 5, 0x86, 0x87, 0x8C)

_AMQP_HEADER = b"AMQP\0\0\x09\x01"
_FRAME_END = 0xCE
_FRAME_BYTES_MAX = 16 * 1024
_CONNECTION_START, _CONNECTION_CLOSE = (10, 10), (10, 50)
# Sizes of the field types without a length field (as RabbitMQ has them, "AMQP 0-9-1 errata").
_FIELD_SIZES = {
    **dict.fromkeys(b"tbB", 1),
    **dict.fromkeys(b"sUu", 2),
    **dict.fromkeys(b"Iif", 4),
    **dict.fromkeys(b"D", 5),
    **dict.fromkeys(b"LldT", 8),
    **dict.fromkeys(b"V", 0),
}


def mqtt(context: ProtocolContext) -> ProtocolGenerator:
    """MQTT 3.1.1 sections 3.1, 3.2 and 3.14: a clean session without a name or password, and DISCONNECT."""
    identifier = f"vedette{context.random(4).hex()}".encode()
    payload = b"\0\x04MQTT\x04\x02" + struct.pack(">HH", _KEEP_ALIVE_S, len(identifier)) + identifier
    yield Send(bytes((0x10, len(payload))) + payload)
    head = yield ReadExactly(2)
    if head[0] != _CONNACK or not 2 <= head[1] <= 127:
        raise UnexpectedAnswer("The peer does not speak MQTT", head)
    code = (yield ReadExactly(head[1]))[1]
    if code in _MQTT_UNHEALTHY:
        raise ServiceUnhealthy(f"The server reports that {_MQTT_UNHEALTHY[code]}")
    if code != 0 and code not in _MQTT_LOGIN_REQUIRED:
        raise ServiceRefused(f"The server reports that {_MQTT_REFUSALS.get(code, f'it refuses us with code {code}')}")
    context.facts["login_required"] = code != 0
    return CloseSequence(b"" if code else _DISCONNECT, expects_reply=False)


def amqp(context: ProtocolContext) -> ProtocolGenerator:
    """AMQP 0-9-1 sections 2.2.4 and 1.4.2.1 (Connection.Start); a server of another version replies with its header.

    There is no clean close before a login: RabbitMQ logs a warning when the client just disconnects, and an error at
    Connection.Close.
    """
    yield Send(_AMQP_HEADER)
    head = yield ReadExactly(7)
    if head.startswith(b"AMQP"):
        head += yield ReadExactly(1)
        context.facts["protocol_version"] = _amqp_version(head)
        return CloseSequence()
    kind, channel, size = struct.unpack(">BHI", head)
    if kind != 1 or channel != 0 or not 4 <= size <= _FRAME_BYTES_MAX:
        raise UnexpectedAnswer("The peer does not speak AMQP", head)
    frame = yield ReadExactly(size + 1)
    method = struct.unpack_from(">HH", frame)
    if frame[-1] != _FRAME_END or method not in (_CONNECTION_START, _CONNECTION_CLOSE):
        raise UnexpectedAnswer("The peer does not begin as AMQP does")
    if method == _CONNECTION_CLOSE:
        raise ServiceRefused("The server refuses", frame[7:-5])
    context.facts["protocol_version"] = "0-9-1"
    try:
        _record_properties(context, frame[6:-1])
    except (struct.error, ValueError):
        raise UnexpectedAnswer("The server's properties are no AMQP table") from None
    return CloseSequence()


def _amqp_version(header: bytes) -> str:
    """Returns the version of a header.

    AMQP 1.0 has a protocol id (plain, TLS or SASL) before it, older versions have not.
    """
    if header[5:] == b"\1\0\0":
        return "1.0"
    return "-".join(map(str, header[5:]))


def _record_properties(context: ProtocolContext, rest: bytes) -> None:
    """Records the server properties and SASL mechanisms of Connection.Start."""
    (size,) = struct.unpack_from(">I", rest)
    properties = dict(_parse_string_fields(rest[4 : 4 + size]))
    (length,) = struct.unpack_from(">I", rest, 4 + size)
    parts = [properties.get(name, b"") for name in (b"product", b"version")]
    if any(parts):
        context.facts["software"] = printable(b" ".join(parts))
    context.facts["mechanisms"] = printable(rest[8 + size : 8 + size + length])


def _parse_string_fields(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields the string fields of a field table; ValueError or struct.error if it is malformed."""
    at = 0
    while at < len(table):
        name = table[at + 1 : at + 1 + table[at]]
        at += 1 + len(name)
        kind = table[at : at + 1]
        at += 1
        if kind in (b"S", b"F", b"A", b"x"):
            (size,) = struct.unpack_from(">I", table, at)
            at += 4
        elif kind and kind[0] in _FIELD_SIZES:
            size = _FIELD_SIZES[kind[0]]
        else:
            raise ValueError("a field has a type of its own")
        if kind == b"S":
            yield name, table[at : at + size]
        at += size


SERVICES = (
    ServiceDefinition("mqtt", 1883, mqtt),
    ServiceDefinition("mqtts", 8883, mqtt, tls=True),
    ServiceDefinition("amqp", 5672, amqp),
    ServiceDefinition("amqps", 5671, amqp, tls=True),
)
