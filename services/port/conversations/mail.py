"""Mail: SMTP and its submission, IMAP, POP3, ManageSieve; each with STARTTLS where the server offers it."""

from collections.abc import Generator

from services.port.conversation import (
    Ask,
    Call,
    Entry,
    Goodbye,
    Line,
    Refusing,
    Say,
    StartTls,
    Talk,
    Unexpected,
    shown,
)
from services.port.conversations.replies import reply
from services.port.conversations.upgrades import stays_clear, wants_tls

_LINES_MAX = 64
_OFFERED = b"STARTTLS"


def smtp(call: Call) -> Talk:
    """RFC 5321, RFC 3207: waits for the greeting (postscreen punishes who talks first), EHLO, STARTTLS, QUIT."""
    greeting = yield from reply("SMTP")
    call.facts["banner"] = shown(greeting.text)
    if greeting.code != 220:
        # 554 and 421 are how a server says that it wants nobody, or nobody more (RFC 5321 section 3.1).
        raise Refusing(f"The server greets with {greeting.code}", greeting.text)
    offers = yield from _ehlo(call)
    if wants_tls(call, offered=_OFFERED in offers):
        yield Say(b"STARTTLS\r\n")
        answer = yield from reply("SMTP")
        if answer.code != 220:
            stays_clear(call, answer.text)
        else:
            yield StartTls()
            yield from _ehlo(call)
    return Goodbye(b"QUIT\r\n")


def imap(call: Call) -> Talk:
    """RFC 3501 sections 7.1 and 6.2.1, RFC 9051: the greeting, STARTTLS, LOGOUT."""
    line = yield Line(4096)
    call.facts["banner"] = shown(line)
    if line.upper().startswith(b"* BYE"):
        raise Refusing("The server says goodbye at once", line[5:])
    if not line.upper().startswith((b"* OK", b"* PREAUTH")):
        raise Unexpected("The peer does not speak IMAP", line)
    if wants_tls(call, offered=(yield from _imap_offers(line))):
        yield Say(b"v2 STARTTLS\r\n")
        answer = yield from _tagged(b"v2")
        if answer.upper().startswith(b"OK"):
            yield StartTls()
        else:
            stays_clear(call, answer)
    return Goodbye(b"v3 LOGOUT\r\n")


def pop3(call: Call) -> Talk:
    """RFC 1939 section 4, RFC 2595: the greeting, CAPA, STLS, QUIT."""
    line = yield Line(1024)
    call.facts["banner"] = shown(line)
    if line.startswith(b"-ERR"):
        raise Refusing("The server refuses", line[4:])
    if not line.startswith(b"+OK"):
        raise Unexpected("The peer does not speak POP3", line)
    if call.starttls != "never" and not call.over_tls:
        offered = yield from _pop3_offers()
        if wants_tls(call, offered=offered):
            yield Say(b"STLS\r\n")
            answer = yield Line(1024)
            if answer.startswith(b"+OK"):
                yield StartTls()
            else:
                stays_clear(call, answer)
    return Goodbye(b"QUIT\r\n")


def sieve(call: Call) -> Talk:
    """RFC 5804 sections 1.7, 2.2 and 2.3: the capabilities, STARTTLS, LOGOUT."""
    offers = yield from _sieve_capabilities(call)
    if wants_tls(call, offered=_OFFERED in offers):
        yield Say(b"STARTTLS\r\n")
        answer = yield Line(1024)
        if answer.upper().startswith(b"OK"):
            yield StartTls()
            yield from _sieve_capabilities(call)
        else:
            stays_clear(call, answer)
    return Goodbye(b"LOGOUT\r\n")


def _ehlo(call: Call) -> Generator[Ask, bytes, set[bytes]]:
    """Says EHLO; returns what the server offers."""
    yield Say(f"EHLO {_our_name(call)}\r\n".encode())
    answer = yield from reply("SMTP")
    if answer.code in (421, 554):
        raise Refusing(f"The server answers EHLO with {answer.code}", answer.text)
    if answer.code == 250:
        return {line.split(b" ")[0].upper() for line in answer.lines[1:]}
    if answer.code // 100 == 5:  # a server of the time before extensions (RFC 5321 section 3.2)
        call.facts["extended"] = False
        return set()
    raise Refusing(f"The server answers EHLO with {answer.code}", answer.text)


def _our_name(call: Call) -> str:
    """Returns what we call ourselves: a name with a domain, and without one our address (RFC 5321 section 4.1.3)."""
    if "." in call.own_name:
        return call.own_name
    return f"[IPv6:{call.own_address}]" if ":" in call.own_address else f"[{call.own_address}]"


def _imap_offers(greeting: bytes) -> Generator[Ask, bytes, bool]:
    """Tells whether the server offers STARTTLS: most say so in the greeting, the others are asked."""
    if b"[CAPABILITY" in greeting.upper():
        return _OFFERED in greeting.upper()
    yield Say(b"v1 CAPABILITY\r\n")
    offered = False
    for _ in range(_LINES_MAX):
        line = (yield Line(4096)).upper()
        if line.startswith(b"V1 "):
            return offered
        offered = offered or (line.startswith(b"* CAPABILITY") and _OFFERED in line)
    raise Unexpected("The server does not end its answer to CAPABILITY")


def _tagged(tag: bytes) -> Generator[Ask, bytes, bytes]:
    """Returns the end of the answer to the command `tag`."""
    for _ in range(_LINES_MAX):
        line = yield Line(4096)
        if line.startswith(tag + b" "):
            return line[len(tag) + 1 :]
    raise Unexpected("The server does not end its answer")


def _pop3_offers() -> Generator[Ask, bytes, bool]:
    """Tells whether CAPA (RFC 2449 section 5) names STLS."""
    yield Say(b"CAPA\r\n")
    line = yield Line(1024)
    if not line.startswith(b"+OK"):
        return False
    offered = False
    for _ in range(_LINES_MAX):
        line = yield Line(1024)
        if line == b".":
            return offered
        offered = offered or line.upper() == b"STLS"
    raise Unexpected("The server does not end its answer to CAPA")


def _sieve_capabilities(call: Call) -> Generator[Ask, bytes, set[bytes]]:
    names: set[bytes] = set()
    for _ in range(_LINES_MAX):
        line = yield Line(1024)
        if line.upper().startswith(b"OK"):
            return names
        if line.upper().startswith((b"BYE", b"NO")):
            raise Refusing("The server refuses", line)
        if not line.startswith(b'"'):
            raise Unexpected("The peer does not speak ManageSieve", line)
        name, _, value = line[1:].partition(b'"')
        names.add(name.upper())
        if name.upper() == b"IMPLEMENTATION":
            call.facts["software"] = shown(value.strip().strip(b'"'))
    raise Unexpected("The server does not end its capabilities")


SERVICES = (
    Entry("smtp", 25, smtp),
    Entry("submission", 587, smtp, starttls="require"),
    Entry("smtps", 465, smtp, tls=True),
    Entry("imap", 143, imap),
    Entry("imaps", 993, imap, tls=True),
    Entry("pop3", 110, pop3),
    Entry("pop3s", 995, pop3, tls=True),
    Entry("sieve", 4190, sieve),
)
