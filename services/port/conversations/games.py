"""Game servers and what players talk over: Minecraft, Source engine, TeamSpeak."""

import struct
from collections.abc import Generator
from typing import Annotated, Any

import msgspec

from services.port.conversation import Ask, Call, Entry, Exactly, Goodbye, Line, Piece, Say, Talk, Unexpected, shown

# The answer carries a picture of the server; without one it is a few hundred bytes.
_STATUS_BYTES_MAX = 100 * 1024
# RakNet's "offline message" magic.
_MAGIC = bytes.fromhex("00ffff00fefefefefdfdfdfd12345678")
_SINGLE = b"\xff\xff\xff\xff"
_INFO = _SINGLE + b"TSource Engine Query\0"
# Our question may be repeated, and each time be answered with a challenge: those are no sign of a sick server.
_REPLIES_MAX, _CHALLENGES_MAX = 2, 5


# JSON knows numbers of any length, a result does not.
_Number = Annotated[int, msgspec.Meta(ge=-(2**31), lt=2**31)]


class _Version(msgspec.Struct):
    name: str = ""
    protocol: _Number = 0


class _Players(msgspec.Struct):
    max: _Number = 0
    online: _Number = 0


class _Status(msgspec.Struct):
    version: _Version = msgspec.field(default_factory=_Version)
    players: _Players = msgspec.field(default_factory=_Players)


def minecraft(call: Call) -> Talk:
    """The server list ping of Java Edition: handshake, status, ping (minecraft.wiki, "Java Edition protocol")."""
    host = call.host.encode()[:255]
    handshake = b"\0" + _varint(0xFFFFFFFF) + _varint(len(host)) + host + struct.pack(">H", call.port) + b"\1"
    yield Say(_varint(len(handshake)) + handshake + b"\1\0")
    size = yield from _read_varint()
    if not 3 <= size <= _STATUS_BYTES_MAX:
        raise Unexpected("The peer does not speak the protocol of Minecraft")
    body = yield Exactly(size)
    status = _status(body)
    call.facts["software"] = shown(status.version.name)
    call.facts["protocol_version"] = status.version.protocol
    call.samples["players"] = status.players.online
    call.samples["players_max"] = status.players.max
    token = call.random(8)
    yield Say(b"\x09\x01" + token)
    if (yield Exactly(10)) != b"\x09\x01" + token:
        raise Unexpected("The server does not return the ping that it was sent")
    return Goodbye()


def bedrock(call: Call) -> Talk:
    """RakNet's unconnected ping: the answer carries the time that was sent, here a random number."""
    token = call.random(8)
    yield Say(b"\x01" + token + _MAGIC + call.random(8))
    while True:
        pong = yield Piece()
        if pong[:1] != b"\x1c" or pong[17:33] != _MAGIC:
            raise Unexpected("The peer does not speak RakNet", pong)
        if pong[1:9] == token:
            break
    parts = pong[35:].decode(errors="replace").split(";")
    if len(parts) < 6 or not (parts[4].isdecimal() and parts[5].isdecimal()):
        raise Unexpected("The server does not tell what it is", pong[35:])
    call.facts["software"] = shown(f"{parts[0]} {parts[3]}")
    call.facts["protocol_version"] = shown(parts[2])
    call.samples["players"] = _number(parts[4])
    call.samples["players_max"] = _number(parts[5])
    return Goodbye()


def source(call: Call) -> Talk:
    """A2S_INFO (developer.valvesoftware.com, "Server queries"), with the challenge that servers ask for since 2020."""
    yield Say(_INFO)
    challenges = 0
    while True:
        answer = yield Piece()
        if answer[:4] != _SINGLE or len(answer) < 9:
            raise Unexpected("The peer does not speak the protocol of Source", answer)
        if answer[4:5] != b"A":
            break
        challenges += 1
        if challenges > _CHALLENGES_MAX:
            raise Unexpected("The server asks for one challenge after the other", answer)
        if challenges <= _REPLIES_MAX:
            yield Say(_INFO + answer[5:9])
    if answer[4:5] != b"I":
        raise Unexpected("The server does not answer what it was asked", answer)
    texts = answer[6:].split(b"\0", 4)
    if len(texts) < 5 or len(texts[4]) < 4:
        raise Unexpected("The server's answer is cut short", answer)
    call.facts["protocol_version"] = answer[5]
    call.facts["banner"] = shown(texts[0])
    call.facts["software"] = shown(texts[3])
    call.samples["players"] = texts[4][2]
    call.samples["players_max"] = texts[4][3]
    return Goodbye()


def teamspeak(call: Call) -> Talk:
    """The greeting of the ServerQuery interface, which ends its lines with LF and CR; then quit."""
    line = yield Line()
    if line.strip() not in (b"TS3", b"TeaSpeak"):
        raise Unexpected("The peer does not speak ServerQuery", line)
    call.facts["banner"] = shown((yield Line()))
    return Goodbye(b"quit\n")


def _status(body: bytes) -> _Status:
    # A packet: its number, 0, and the length of the text, each of which ends at a byte below 128.
    start = 1
    while start < min(len(body), 5) and body[start] & 0x80:
        start += 1
    try:
        return msgspec.json.decode(body[start + 1 :], type=_Status) if body[0] == 0 else _refused(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Unexpected("The server does not tell what it is", body[start + 1 :]) from error


def _refused(body: bytes) -> Any:
    raise Unexpected("The server does not answer what it was asked", body)


def _number(text: str) -> int:
    """Returns the number of players, of which no server has more than a few thousands."""
    return int(text[:9])


def _varint(value: int) -> bytes:
    """Returns seven bits a byte, the lowest first."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _read_varint() -> Generator[Ask, bytes, int]:
    value = 0
    for place in range(3):
        byte = (yield Exactly(1))[0]
        value |= (byte & 0x7F) << 7 * place
        if not byte & 0x80:
            return value
    raise Unexpected("The peer does not speak the protocol of Minecraft")


SERVICES = (
    Entry("minecraft", 25565, minecraft),
    Entry("bedrock", 19132, bedrock, transport="udp"),
    Entry("source", 27015, source, transport="udp"),
    Entry("teamspeak", 10011, teamspeak),
)
