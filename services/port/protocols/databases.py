"""Databases and caches: MySQL and MariaDB, PostgreSQL, Redis, memcached. None of them is logged in to."""

import struct
from collections.abc import Generator

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
    ServiceRefused,
    ServiceUnhealthy,
    StartTls,
    UnexpectedAnswer,
    printable,
)
from services.port.protocols.starttls import should_start_tls

# A greeting takes about a hundred bytes. Text that is taken for a length is far beyond this.
_MYSQL_BYTES_MAX = 4096
_MYSQL_SSL = 0x0800
# Protocol 4.1, secure connection and TLS, as a client that knows nothing else would say.
_MYSQL_CAPABILITIES = 0x0001 | 0x0200 | 0x8000 | _MYSQL_SSL
_MYSQL_UTF8MB4 = 45
_MYSQL_SHUTDOWN, _MYSQL_BLOCKED = 1053, 1129
# A replica of MySQL 5.5 would stumble over a version 10, so MariaDB says this first.
_MARIADB_PREFIX = b"5.5.5-"

_POSTGRESQL_BYTES_MAX = 8192
_SSL_REQUEST = struct.pack(">II", 8, 80877103)

_REDIS_UNHEALTHY = (b"-LOADING", b"-MASTERDOWN", b"-BUSY", b"-MISCONF", b"-CLUSTERDOWN", b"-OOM")
# -NOPERM: the user of those who have not logged in may not even PING.
_REDIS_LOGIN_REQUIRED = (b"-NOAUTH", b"-NOPERM", b"-ERR operation not permitted")
_REDIS_REFUSED = (b"-DENIED", b"-ERR max number of clients")


def mysql(call: ProtocolContext) -> ProtocolGenerator:
    """The server's handshake (dev.mysql.com, Protocol::HandshakeV10), and TLS if it has it (Protocol::SSLRequest).

    The protocol knows no goodbye before a login: however we leave (COM_QUIT and TLS were tried), the server counts a
    connection without one, and refuses an address after max_connect_errors (100) of them in a row.
    """
    head = yield ReadExactly(4)
    size = int.from_bytes(head[:3], "little")
    if head[3] != 0 or not 3 <= size <= _MYSQL_BYTES_MAX:
        raise UnexpectedAnswer("The peer does not greet as MySQL does", head)
    greeting = yield ReadExactly(size)
    if greeting[0] == 0xFF:
        _raise_mysql_error(int.from_bytes(greeting[1:3], "little"), greeting[3:])
    version, ended, rest = greeting[1:].partition(b"\0")
    if greeting[0] not in (9, 10) or not ended or not version.isascii():
        raise UnexpectedAnswer("The peer does not greet as MySQL does", greeting)
    call.facts["protocol_version"] = str(greeting[0])
    call.facts["software"] = printable(version.removeprefix(_MARIADB_PREFIX) if b"MariaDB" in version else version)
    # A connection's number, 8 bytes of salt and one to fill come before the capabilities.
    capabilities = int.from_bytes(rest[13:15], "little")
    if should_start_tls(call, offered=bool(capabilities & _MYSQL_SSL)):
        request = struct.pack("<IIB23x", _MYSQL_CAPABILITIES, _MYSQL_BYTES_MAX, _MYSQL_UTF8MB4)
        yield Send(struct.pack("<I", len(request) | 1 << 24) + request)
        yield StartTls()
    return CloseSequence()


def _raise_mysql_error(code: int, said: bytes) -> None:
    """An error before the handshake (Protocol::ERR_Packet): no privileges, no room, blocked."""
    if code == _MYSQL_SHUTDOWN:
        raise ServiceUnhealthy("The server is shutting down", said)
    if code == _MYSQL_BLOCKED:
        raise ServiceRefused("The server blocks this address for max_connect_errors connections without a login", said)
    raise ServiceRefused(f"The server refuses with error {code}", said)


def postgresql(call: ProtocolContext) -> ProtocolGenerator:
    """PostgreSQL documentation, sections 54.2.10 (SSL) and 54.7 (SSLRequest): S, N or an error answers.

    A server that says S waits for TLS: with `starttls` "never" it logs that none came.
    """
    yield Send(_SSL_REQUEST)
    # Not one byte: SSH, too, begins with an S; and what comes with an S in the clear is not from the server.
    answer = yield ReadChunk()
    if answer[:1] == b"E":
        _raise_postgresql_error((yield from _read_postgresql_error(answer[1:])))
    if answer not in (b"S", b"N"):
        raise UnexpectedAnswer("The peer does not speak PostgreSQL", answer)
    if should_start_tls(call, offered=answer == b"S"):
        yield StartTls()
    return CloseSequence()


def _read_postgresql_error(said: bytes) -> Generator[ProtocolAction, bytes, bytes]:
    """Reads the rest of an error, in however many pieces it comes: its length says how much, or a zero byte ends it."""
    while len(said) < _POSTGRESQL_BYTES_MAX:
        size = int.from_bytes(said[:4], "big")
        if len(said) >= 4 and (len(said) >= size if size <= _POSTGRESQL_BYTES_MAX else b"\0" in said):
            break
        said += yield ReadChunk()
    return said


def _raise_postgresql_error(said: bytes) -> None:
    """An ErrorResponse (section 54.8), or the bare text of a server that cannot start a process for us."""
    if int.from_bytes(said[:4], "big") <= _POSTGRESQL_BYTES_MAX:
        messages = [part[1:] for part in said[4:].split(b"\0") if part[:1] == b"M"]
        raise ServiceRefused("The server refuses", b" ".join(messages))
    if said.endswith(b"\0"):
        raise ServiceRefused("The server refuses", said[:-1])


def redis(call: ProtocolContext) -> ProtocolGenerator:
    """redis.io, "Redis serialization protocol": PING as an inline command. An error that asks for a login is an answer."""
    yield Send(b"PING\r\n")
    line = yield ReadLine(1024)
    if line.startswith(_REDIS_REFUSED):
        raise ServiceRefused("The server refuses", line[1:])
    if line.startswith(_REDIS_UNHEALTHY):
        raise ServiceUnhealthy("The server is not well", line[1:])
    if line != b"+PONG" and not line.startswith(_REDIS_LOGIN_REQUIRED):
        raise UnexpectedAnswer("The peer does not speak Redis", line)
    call.facts["login_required"] = line != b"+PONG"
    return CloseSequence(b"QUIT\r\n")


def memcached(call: ProtocolContext) -> ProtocolGenerator:
    """Of memcached's doc/protocol.txt "version", and "quit", which nothing answers."""
    yield Send(b"version\r\n")
    line = yield ReadLine(1024)
    if line.startswith(b"ERROR Too many open connections"):
        raise ServiceRefused("The server refuses", line)
    if line.startswith(b"SERVER_ERROR"):
        raise ServiceUnhealthy("The server is not well", line)
    locked = line.startswith(b"CLIENT_ERROR unauthenticated")
    if not line.startswith(b"VERSION ") and not locked:
        raise UnexpectedAnswer("The peer does not speak memcached", line)
    call.facts["login_required"] = locked
    if not locked:
        call.facts["software"] = printable(line.removeprefix(b"VERSION "))
    return CloseSequence(b"quit\r\n", expects_reply=False)


SERVICES = (
    ServiceDefinition("mysql", 3306, mysql),
    ServiceDefinition("mariadb", 3306, mysql),
    ServiceDefinition("postgresql", 5432, postgresql),
    ServiceDefinition("redis", 6379, redis),
    ServiceDefinition("rediss", 6379, redis, tls=True),
    ServiceDefinition("memcached", 11211, memcached),
)
