"""Databases and caches: MySQL and MariaDB, PostgreSQL, Redis, memcached. No login takes place."""

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

# A greeting takes about a hundred bytes. Text read as a length is far beyond this.
_MYSQL_BYTES_MAX = 4096
_MYSQL_SSL = 0x0800
# Protocol 4.1, secure connection and TLS: the capabilities of a minimal client.
_MYSQL_CAPABILITIES = 0x0001 | 0x0200 | 0x8000 | _MYSQL_SSL
_MYSQL_UTF8MB4 = 45
_MYSQL_SHUTDOWN, _MYSQL_BLOCKED = 1053, 1129
# A replica of MySQL 5.5 rejects version 10, so MariaDB sends this prefix.
_MARIADB_PREFIX = b"5.5.5-"

_POSTGRESQL_BYTES_MAX = 8192
_SSL_REQUEST = struct.pack(">II", 8, 80877103)

_REDIS_UNHEALTHY = (b"-LOADING", b"-MASTERDOWN", b"-BUSY", b"-MISCONF", b"-CLUSTERDOWN", b"-OOM")
# -NOPERM: the default user may not even PING.
_REDIS_LOGIN_REQUIRED = (b"-NOAUTH", b"-NOPERM", b"-ERR operation not permitted")
_REDIS_REFUSED = (b"-DENIED", b"-ERR max number of clients")


def mysql(context: ProtocolContext) -> ProtocolGenerator:
    """The server's handshake (dev.mysql.com, Protocol::HandshakeV10), and TLS if offered (Protocol::SSLRequest).

    The protocol has no clean close before a login: with COM_QUIT and with TLS (both tried), the server counts a
    connection without login, and blocks an address after max_connect_errors (100) of them in a row.
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
    context.facts["protocol_version"] = str(greeting[0])
    context.facts["software"] = printable(version.removeprefix(_MARIADB_PREFIX) if b"MariaDB" in version else version)
    # The connection id, 8 bytes of salt and a filler byte come before the capabilities.
    capabilities = int.from_bytes(rest[13:15], "little")
    if should_start_tls(context, offered=bool(capabilities & _MYSQL_SSL)):
        request = struct.pack("<IIB23x", _MYSQL_CAPABILITIES, _MYSQL_BYTES_MAX, _MYSQL_UTF8MB4)
        yield Send(struct.pack("<I", len(request) | 1 << 24) + request)
        yield StartTls()
    return CloseSequence()


def _raise_mysql_error(code: int, message: bytes) -> None:
    """Raises for an error before the handshake (Protocol::ERR_Packet): too many connections, a blocked host."""
    if code == _MYSQL_SHUTDOWN:
        raise ServiceUnhealthy("The server is shutting down", message)
    if code == _MYSQL_BLOCKED:
        raise ServiceRefused(
            "The server blocks this address for max_connect_errors connections without a login", message
        )
    raise ServiceRefused(f"The server refuses with error {code}", message)


def postgresql(context: ProtocolContext) -> ProtocolGenerator:
    """PostgreSQL documentation, sections 54.2.10 (SSL) and 54.7 (SSLRequest): the reply is S, N or an error.

    A server that replies S waits for TLS: with `starttls` "never" it logs that the handshake did not start.
    """
    yield Send(_SSL_REQUEST)
    # Not ReadExactly(1): SSH also begins with S, and plaintext after the S would be injected.
    answer = yield ReadChunk()
    if answer[:1] == b"E":
        _raise_postgresql_error((yield from _read_postgresql_error(answer[1:])))
    if answer not in (b"S", b"N"):
        raise UnexpectedAnswer("The peer does not speak PostgreSQL", answer)
    if should_start_tls(context, offered=answer == b"S"):
        yield StartTls()
    return CloseSequence()


def _read_postgresql_error(message: bytes) -> Generator[ProtocolAction, bytes, bytes]:
    """Reads the rest of an error in any number of chunks: it ends by its length, or at a zero byte."""
    while len(message) < _POSTGRESQL_BYTES_MAX:
        size = int.from_bytes(message[:4], "big")
        if len(message) >= 4 and (len(message) >= size if size <= _POSTGRESQL_BYTES_MAX else b"\0" in message):
            break
        message += yield ReadChunk()
    return message


def _raise_postgresql_error(message: bytes) -> None:
    """Raises for an ErrorResponse (section 54.8), or for bare text if the server cannot start a backend process."""
    if int.from_bytes(message[:4], "big") <= _POSTGRESQL_BYTES_MAX:
        messages = [part[1:] for part in message[4:].split(b"\0") if part[:1] == b"M"]
        raise ServiceRefused("The server refuses", b" ".join(messages))
    if message.endswith(b"\0"):
        raise ServiceRefused("The server refuses", message[:-1])


def redis(context: ProtocolContext) -> ProtocolGenerator:
    """redis.io, "Redis serialization protocol": PING as an inline command.

    An error that demands a login is a valid reply.
    """
    yield Send(b"PING\r\n")
    line = yield ReadLine(1024)
    if line.startswith(_REDIS_REFUSED):
        raise ServiceRefused("The server refuses", line[1:])
    if line.startswith(_REDIS_UNHEALTHY):
        raise ServiceUnhealthy("The server reports an error state", line[1:])
    if line != b"+PONG" and not line.startswith(_REDIS_LOGIN_REQUIRED):
        raise UnexpectedAnswer("The peer does not speak Redis", line)
    context.facts["login_required"] = line != b"+PONG"
    return CloseSequence(b"QUIT\r\n")


def memcached(context: ProtocolContext) -> ProtocolGenerator:
    """The commands "version" and "quit" of memcached's doc/protocol.txt; "quit" has no reply."""
    yield Send(b"version\r\n")
    line = yield ReadLine(1024)
    if line.startswith(b"ERROR Too many open connections"):
        raise ServiceRefused("The server refuses", line)
    if line.startswith(b"SERVER_ERROR"):
        raise ServiceUnhealthy("The server reports an error state", line)
    locked = line.startswith(b"CLIENT_ERROR unauthenticated")
    if not line.startswith(b"VERSION ") and not locked:
        raise UnexpectedAnswer("The peer does not speak memcached", line)
    context.facts["login_required"] = locked
    if not locked:
        context.facts["software"] = printable(line.removeprefix(b"VERSION "))
    return CloseSequence(b"quit\r\n", expects_reply=False)


SERVICES = (
    ServiceDefinition("mysql", 3306, mysql),
    ServiceDefinition("mariadb", 3306, mysql),
    ServiceDefinition("postgresql", 5432, postgresql),
    ServiceDefinition("redis", 6379, redis),
    ServiceDefinition("rediss", 6379, redis, tls=True),
    ServiceDefinition("memcached", 11211, memcached),
)
