"""SSH: the exchange of identification strings."""

import re

from services.port.protocol_api import (
    CloseSequence,
    ProtocolContext,
    ProtocolGenerator,
    ReadLine,
    ServiceDefinition,
    ServiceRefused,
    UnexpectedAnswer,
    printable,
)

# Shown in the server's log. Without an identification the server would wait for LoginGraceTime.
CLIENT_IDENTIFICATION = b"SSH-2.0-vedette-check\r\n"
# RFC 4253 section 4.2 allows other lines first, without a limit.
_LINES_BEFORE_MAX = 32
_IDENTIFICATION = re.compile(rb"SSH-(2\.0|1\.99)-([!-,.-~]+)(?: (.*))?")


def ssh(context: ProtocolContext) -> ProtocolGenerator:
    """RFC 4253 section 4.2: both sides send their identification; the client disconnects before the key exchange."""
    line = b""
    for _ in range(_LINES_BEFORE_MAX):
        line = yield ReadLine(512)
        if line.startswith(b"SSH-"):
            break
        if b"MaxStartups" in line or line.startswith(b"Not allowed"):
            raise ServiceRefused("The server takes no more connections at the moment", line)
    else:
        raise UnexpectedAnswer("The server did not identify itself as SSH", line)
    found = _IDENTIFICATION.fullmatch(line)
    if found is None:
        raise UnexpectedAnswer("The server does not speak SSH 2", line)
    context.facts["banner"] = printable(line)
    context.facts["protocol_version"] = found[1].decode()
    context.facts["software"] = printable(found[2])
    # The server's reply is read: closing with unread data resets the connection, which servers log.
    return CloseSequence(CLIENT_IDENTIFICATION)


SERVICES = (ServiceDefinition("ssh", 22, ssh),)
