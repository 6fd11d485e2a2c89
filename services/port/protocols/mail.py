"""Mail: SMTP and submission, IMAP, POP3, ManageSieve; each with STARTTLS where the server offers it."""

from collections.abc import Generator

from services.port.protocol_api import (
    CloseSequence,
    ProtocolAction,
    ProtocolContext,
    ProtocolGenerator,
    ReadLine,
    Send,
    ServiceDefinition,
    ServiceRefused,
    StartTls,
    UnexpectedAnswer,
    printable,
)
from services.port.protocols.reply_codes import read_reply
from services.port.protocols.starttls import record_starttls_refused, should_start_tls

_LINES_MAX = 64
_STARTTLS = b"STARTTLS"


def smtp(context: ProtocolContext) -> ProtocolGenerator:
    """RFC 5321, RFC 3207: waits for the greeting (postscreen penalises early clients), EHLO, STARTTLS, QUIT."""
    greeting = yield from read_reply("SMTP")
    context.facts["banner"] = printable(greeting.text)
    if greeting.code != 220:
        # 554 and 421: no service for this client, or too many connections (RFC 5321 section 3.1).
        raise ServiceRefused(f"The server greets with {greeting.code}", greeting.text)
    offers = yield from _send_ehlo(context)
    if should_start_tls(context, offered=_STARTTLS in offers):
        yield Send(b"STARTTLS\r\n")
        answer = yield from read_reply("SMTP")
        if answer.code != 220:
            record_starttls_refused(context, answer.text)
        else:
            yield StartTls()
            yield from _send_ehlo(context)
    return CloseSequence(b"QUIT\r\n")


def imap(context: ProtocolContext) -> ProtocolGenerator:
    """RFC 3501 sections 7.1 and 6.2.1, RFC 9051: the greeting, STARTTLS, LOGOUT."""
    line = yield ReadLine(4096)
    context.facts["banner"] = printable(line)
    if line.upper().startswith(b"* BYE"):
        raise ServiceRefused("The server closes the session with BYE", line[5:])
    if not line.upper().startswith((b"* OK", b"* PREAUTH")):
        raise UnexpectedAnswer("The peer does not speak IMAP", line)
    if should_start_tls(context, offered=(yield from _imap_offers_starttls(line))):
        yield Send(b"v2 STARTTLS\r\n")
        answer = yield from _read_tagged(b"v2")
        if answer.upper().startswith(b"OK"):
            yield StartTls()
        else:
            record_starttls_refused(context, answer)
    return CloseSequence(b"v3 LOGOUT\r\n")


def pop3(context: ProtocolContext) -> ProtocolGenerator:
    """RFC 1939 section 4, RFC 2595: the greeting, CAPA, STLS, QUIT."""
    line = yield ReadLine(1024)
    context.facts["banner"] = printable(line)
    if line.startswith(b"-ERR"):
        raise ServiceRefused("The server refuses", line[4:])
    if not line.startswith(b"+OK"):
        raise UnexpectedAnswer("The peer does not speak POP3", line)
    if context.starttls != "never" and not context.over_tls:
        offered = yield from _pop3_offers_stls()
        if should_start_tls(context, offered=offered):
            yield Send(b"STLS\r\n")
            answer = yield ReadLine(1024)
            if answer.startswith(b"+OK"):
                yield StartTls()
            else:
                record_starttls_refused(context, answer)
    return CloseSequence(b"QUIT\r\n")


def sieve(context: ProtocolContext) -> ProtocolGenerator:
    """RFC 5804 sections 1.7, 2.2 and 2.3: the capabilities, STARTTLS, LOGOUT."""
    offers = yield from _read_sieve_capabilities(context)
    if should_start_tls(context, offered=_STARTTLS in offers):
        yield Send(b"STARTTLS\r\n")
        answer = yield ReadLine(1024)
        if answer.upper().startswith(b"OK"):
            yield StartTls()
            yield from _read_sieve_capabilities(context)
        else:
            record_starttls_refused(context, answer)
    return CloseSequence(b"LOGOUT\r\n")


def _send_ehlo(context: ProtocolContext) -> Generator[ProtocolAction, bytes, set[bytes]]:
    """Sends EHLO; returns the extensions that the server offers."""
    yield Send(f"EHLO {_client_name(context)}\r\n".encode())
    answer = yield from read_reply("SMTP")
    if answer.code in (421, 554):
        raise ServiceRefused(f"The server answers EHLO with {answer.code}", answer.text)
    if answer.code == 250:
        return {line.split(b" ")[0].upper() for line in answer.lines[1:]}
    if answer.code // 100 == 5:  # a server without extensions (RFC 5321 section 3.2)
        context.facts["extended"] = False
        return set()
    raise ServiceRefused(f"The server answers EHLO with {answer.code}", answer.text)


def _client_name(context: ProtocolContext) -> str:
    """Returns the EHLO argument: a host name with a domain, otherwise an address literal (RFC 5321 section 4.1.3)."""
    if "." in context.local_name:
        return context.local_name
    return f"[IPv6:{context.local_address}]" if ":" in context.local_address else f"[{context.local_address}]"


def _imap_offers_starttls(greeting: bytes) -> Generator[ProtocolAction, bytes, bool]:
    """Returns whether the server offers STARTTLS: from the greeting, or from CAPABILITY if the greeting has none."""
    if b"[CAPABILITY" in greeting.upper():
        return _STARTTLS in greeting.upper()
    yield Send(b"v1 CAPABILITY\r\n")
    offered = False
    for _ in range(_LINES_MAX):
        line = (yield ReadLine(4096)).upper()
        if line.startswith(b"V1 "):
            return offered
        offered = offered or (line.startswith(b"* CAPABILITY") and _STARTTLS in line)
    raise UnexpectedAnswer("The server does not end its answer to CAPABILITY")


def _read_tagged(tag: bytes) -> Generator[ProtocolAction, bytes, bytes]:
    """Returns the tagged response to the command `tag`."""
    for _ in range(_LINES_MAX):
        line = yield ReadLine(4096)
        if line.startswith(tag + b" "):
            return line[len(tag) + 1 :]
    raise UnexpectedAnswer("The server does not end its answer")


def _pop3_offers_stls() -> Generator[ProtocolAction, bytes, bool]:
    """Returns whether CAPA (RFC 2449 section 5) lists STLS."""
    yield Send(b"CAPA\r\n")
    line = yield ReadLine(1024)
    if not line.startswith(b"+OK"):
        return False
    offered = False
    for _ in range(_LINES_MAX):
        line = yield ReadLine(1024)
        if line == b".":
            return offered
        offered = offered or line.upper() == b"STLS"
    raise UnexpectedAnswer("The server does not end its answer to CAPA")


def _read_sieve_capabilities(context: ProtocolContext) -> Generator[ProtocolAction, bytes, set[bytes]]:
    names: set[bytes] = set()
    for _ in range(_LINES_MAX):
        line = yield ReadLine(1024)
        if line.upper().startswith(b"OK"):
            return names
        if line.upper().startswith((b"BYE", b"NO")):
            raise ServiceRefused("The server refuses", line)
        if not line.startswith(b'"'):
            raise UnexpectedAnswer("The peer does not speak ManageSieve", line)
        name, _, value = line[1:].partition(b'"')
        names.add(name.upper())
        if name.upper() == b"IMPLEMENTATION":
            context.facts["software"] = printable(value.strip().strip(b'"'))
    raise UnexpectedAnswer("The server does not end its capabilities")


SERVICES = (
    ServiceDefinition("smtp", 25, smtp),
    ServiceDefinition("submission", 587, smtp, starttls="require"),
    ServiceDefinition("smtps", 465, smtp, tls=True),
    ServiceDefinition("imap", 143, imap),
    ServiceDefinition("imaps", 993, imap, tls=True),
    ServiceDefinition("pop3", 110, pop3),
    ServiceDefinition("pop3s", 995, pop3, tls=True),
    ServiceDefinition("sieve", 4190, sieve),
)
