"""Game and voice servers: Minecraft, Source engine, TeamSpeak."""

import struct
from collections.abc import Generator
from typing import Annotated, Any

import msgspec

from services.port.protocol_api import (
    CloseSequence,
    ProtocolAction,
    ProtocolContext,
    ProtocolGenerator,
    ReadChunk,
    ReadExactly,
    ReadLine,
    Send,
    ServiceDefinition,
    UnexpectedAnswer,
    printable,
)

# The response contains the server's icon; without one it has a few hundred bytes.
_STATUS_BYTES_MAX = 100 * 1024
# RakNet's "offline message" magic.
_RAKNET_MAGIC = bytes.fromhex("00ffff00fefefefefdfdfdfd12345678")
_SINGLE_PACKET = b"\xff\xff\xff\xff"
_INFO_REQUEST = _SINGLE_PACKET + b"TSource Engine Query\0"
# A retransmitted query may get a challenge each time: those are no sign of a broken server.
_REPLIES_MAX, _CHALLENGES_MAX = 2, 5


# JSON numbers have no limit, the samples of a result have.
_PlayerCount = Annotated[int, msgspec.Meta(ge=-(2**31), lt=2**31)]


class _MinecraftVersion(msgspec.Struct):
    name: str = ""
    protocol: _PlayerCount = 0


class _MinecraftPlayers(msgspec.Struct):
    max: _PlayerCount = 0
    online: _PlayerCount = 0


class _MinecraftStatus(msgspec.Struct):
    version: _MinecraftVersion = msgspec.field(default_factory=_MinecraftVersion)
    players: _MinecraftPlayers = msgspec.field(default_factory=_MinecraftPlayers)


def minecraft(context: ProtocolContext) -> ProtocolGenerator:
    """The server list ping of Java Edition: handshake, status, ping (minecraft.wiki, "Java Edition protocol")."""
    host = context.host.encode()[:255]
    handshake = (
        b"\0" + _encode_varint(0xFFFFFFFF) + _encode_varint(len(host)) + host + struct.pack(">H", context.port) + b"\1"
    )
    yield Send(_encode_varint(len(handshake)) + handshake + b"\1\0")
    size = yield from _read_varint()
    if not 3 <= size <= _STATUS_BYTES_MAX:
        raise UnexpectedAnswer("The peer does not speak the protocol of Minecraft")
    body = yield ReadExactly(size)
    status = _parse_status(body)
    context.facts["software"] = printable(status.version.name)
    context.facts["protocol_version"] = status.version.protocol
    context.samples["players"] = status.players.online
    context.samples["players_max"] = status.players.max
    token = context.random(8)
    yield Send(b"\x09\x01" + token)
    if (yield ReadExactly(10)) != b"\x09\x01" + token:
        raise UnexpectedAnswer("The server does not return the ping that it was sent")
    return CloseSequence()


def bedrock(context: ProtocolContext) -> ProtocolGenerator:
    """RakNet's unconnected ping: the pong repeats the ping's timestamp, which is a random number here."""
    token = context.random(8)
    yield Send(b"\x01" + token + _RAKNET_MAGIC + context.random(8))
    while True:
        pong = yield ReadChunk()
        if pong[:1] != b"\x1c" or pong[17:33] != _RAKNET_MAGIC:
            raise UnexpectedAnswer("The peer does not speak RakNet", pong)
        if pong[1:9] == token:
            break
    parts = pong[35:].decode(errors="replace").split(";")
    if len(parts) < 6 or not (parts[4].isdecimal() and parts[5].isdecimal()):
        raise UnexpectedAnswer("The server's status response is malformed", pong[35:])
    context.facts["software"] = printable(f"{parts[0]} {parts[3]}")
    context.facts["protocol_version"] = printable(parts[2])
    context.samples["players"] = _parse_count(parts[4])
    context.samples["players_max"] = _parse_count(parts[5])
    return CloseSequence()


def source(context: ProtocolContext) -> ProtocolGenerator:
    """A2S_INFO (developer.valvesoftware.com, "Server queries"), with the challenge that servers require since 2020."""
    yield Send(_INFO_REQUEST)
    challenges = 0
    while True:
        answer = yield ReadChunk()
        if answer[:4] != _SINGLE_PACKET or len(answer) < 9:
            raise UnexpectedAnswer("The peer does not speak the protocol of Source", answer)
        if answer[4:5] != b"A":
            break
        challenges += 1
        if challenges > _CHALLENGES_MAX:
            raise UnexpectedAnswer("The server keeps sending challenges", answer)
        if challenges <= _REPLIES_MAX:
            yield Send(_INFO_REQUEST + answer[5:9])
    if answer[4:5] != b"I":
        raise UnexpectedAnswer("The response does not match the request", answer)
    texts = answer[6:].split(b"\0", 4)
    if len(texts) < 5 or len(texts[4]) < 4:
        raise UnexpectedAnswer("The server's response is truncated", answer)
    context.facts["protocol_version"] = answer[5]
    context.facts["banner"] = printable(texts[0])
    context.facts["software"] = printable(texts[3])
    context.samples["players"] = texts[4][2]
    context.samples["players_max"] = texts[4][3]
    return CloseSequence()


def teamspeak(context: ProtocolContext) -> ProtocolGenerator:
    """The greeting of the ServerQuery interface, whose lines end with LF CR; then quit."""
    line = yield ReadLine()
    if line.strip() not in (b"TS3", b"TeaSpeak"):
        raise UnexpectedAnswer("The peer does not speak ServerQuery", line)
    context.facts["banner"] = printable((yield ReadLine()))
    return CloseSequence(b"quit\n")


def _parse_status(body: bytes) -> _MinecraftStatus:
    # A packet: its id, 0, and the VarInt length of the text, which ends at a byte below 128.
    start = 1
    while start < min(len(body), 5) and body[start] & 0x80:
        start += 1
    try:
        return (
            msgspec.json.decode(body[start + 1 :], type=_MinecraftStatus) if body[0] == 0 else _raise_unexpected(body)
        )
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UnexpectedAnswer("The server's status response is malformed", body[start + 1 :]) from error


def _raise_unexpected(body: bytes) -> Any:
    raise UnexpectedAnswer("The response does not match the request", body)


def _parse_count(text: str) -> int:
    """Returns a number of players, cut to nine digits."""
    return int(text[:9])


def _encode_varint(value: int) -> bytes:
    """Returns a VarInt: seven bits per byte, lowest first."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _read_varint() -> Generator[ProtocolAction, bytes, int]:
    value = 0
    for place in range(3):
        byte = (yield ReadExactly(1))[0]
        value |= (byte & 0x7F) << 7 * place
        if not byte & 0x80:
            return value
    raise UnexpectedAnswer("The peer does not speak the protocol of Minecraft")


SERVICES = (
    ServiceDefinition("minecraft", 25565, minecraft),
    ServiceDefinition("bedrock", 19132, bedrock, transport="udp"),
    ServiceDefinition("source", 27015, source, transport="udp"),
    ServiceDefinition("teamspeak", 10011, teamspeak),
)
