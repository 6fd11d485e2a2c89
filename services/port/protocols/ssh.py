"""SSH: the exchange of identifications, and no further."""

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

# A server that logs us shows this; a client without one would keep it waiting for LoginGraceTime.
CLIENT_IDENTIFICATION = b"SSH-2.0-vedette-check\r\n"
# RFC 4253 section 4.2 lets a server say other lines first, and does not say how many.
_LINES_BEFORE_MAX = 32
_IDENTIFICATION = re.compile(rb"SSH-(2\.0|1\.99)-([!-,.-~]+)(?: (.*))?")


def ssh(call: ProtocolContext) -> ProtocolGenerator:
    """RFC 4253 section 4.2: both sides say who they are, and we leave before the key exchange."""
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
    call.facts["banner"] = printable(line)
    call.facts["protocol_version"] = found[1].decode()
    call.facts["software"] = printable(found[2])
    # What the server says to that is heard out: to leave words unread resets the connection, and servers log that.
    return CloseSequence(CLIENT_IDENTIFICATION)


SERVICES = (ServiceDefinition("ssh", 22, ssh),)
