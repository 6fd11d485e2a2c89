"""FTP: in plaintext, with AUTH TLS, and with implicit TLS."""

from services.port.protocol_api import (
    CloseSequence,
    ProtocolContext,
    ProtocolGenerator,
    Send,
    ServiceDefinition,
    ServiceRefused,
    StartTls,
    printable,
)
from services.port.protocols.reply_codes import read_reply
from services.port.protocols.starttls import record_starttls_refused


def ftp(context: ProtocolContext) -> ProtocolGenerator:
    """RFC 959 section 5.4, RFC 4217 section 4: the greeting, AUTH TLS, QUIT."""
    greeting = yield from read_reply("FTP")
    context.facts["banner"] = printable(greeting.text)
    if greeting.code != 220:
        raise ServiceRefused(f"The server greets with {greeting.code}", greeting.text)
    if context.starttls == "never" or context.over_tls:
        return CloseSequence(b"QUIT\r\n")
    yield Send(b"AUTH TLS\r\n")
    answer = yield from read_reply("FTP")
    if answer.code == 234:
        yield StartTls()
    else:
        record_starttls_refused(context, answer.text)
    return CloseSequence(b"QUIT\r\n")


SERVICES = (
    ServiceDefinition("ftp", 21, ftp),
    ServiceDefinition("ftps", 990, ftp, tls=True),
)
