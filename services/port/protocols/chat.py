"""Chat: XMPP and IRC."""

import re
from collections.abc import Generator

import re2  # type: ignore[import-untyped]

from services.port.protocol_api import (
    CloseSequence,
    ProtocolAction,
    ProtocolContext,
    ProtocolGenerator,
    ReadChunk,
    ReadLine,
    Send,
    ServiceDefinition,
    ServiceRefused,
    ServiceUnhealthy,
    StartTls,
    UnexpectedAnswer,
    printable,
)
from services.port.protocols.starttls import record_starttls_refused, should_start_tls

_STREAM_BYTES_MAX = 16 * 1024
_XMPP_STREAM_END = b"</stream:stream>"
_XMPP_STARTTLS = b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
# RE2, whose time is linear: with `re` some 64 KiB of unclosed elements held the loop for seconds.
_XMPP_STREAM_START = re2.compile(rb"\s*(<\?xml[^>]*>\s*)?<stream:stream[\s>]")
_XMPP_FEATURES = re2.compile(rb"(?s)<stream:features\s*/>|<stream:features[\s>].*?</stream:features>")
_XMPP_ERROR = re2.compile(rb"(?s)<stream:error[\s>].*?</stream:error>")
_XMPP_CONDITION = re.compile(rb"<stream:error[^>]*>\s*<([a-z-]+)")
_XMPP_MECHANISM = re2.compile(rb"<mechanism[^>]*>([^<]*)</mechanism>")
_XMPP_STARTTLS_REPLY = re.compile(rb"<(proceed|failure)[\s/>]")
# RFC 6120 section 4.9.3: those that speak of the server, and not of us.
_XMPP_UNHEALTHY = (
    *(b"internal-server-error", b"resource-constraint", b"system-shutdown", b"remote-connection-failed", b"reset"),
    b"undefined-condition",
)

_IRC_LINES_MAX = 64
# RFC 2812 section 2.3.1, tags before it as in IRCv3: a number comes from a server, which names itself.
_IRC_LINE = re.compile(rb"(?:@\S+ +)?(?:(:\S+) +)?([A-Za-z]+|[0-9]{3})(?: +(.*))?", re.DOTALL)
_IRC_REPLIES = (b"CAP", b"421", b"451", b"410")  # unknown command, not registered: what older servers say to CAP
_IRC_BANS = (b"463", b"464", b"465", b"466")


def xmpp(call: ProtocolContext) -> ProtocolGenerator:
    """RFC 6120 sections 4.2, 4.3 and 5.4: a stream is opened, its features are read, STARTTLS, and closed again.

    The stream is opened to the host as it was given: that has to be the domain which the server serves.
    """
    features = yield from _open_stream(call)
    if should_start_tls(call, offered=b"<starttls" in features):
        yield Send(_XMPP_STARTTLS)
        answer = (yield from _read_until(_XMPP_STARTTLS_REPLY))[0]
        if answer.startswith(b"<failure"):
            # The server closes the stream now (RFC 6120 section 5.4.2.2): there is nothing to go on with.
            record_starttls_refused(call, "failure")
            return CloseSequence(_XMPP_STREAM_END)
        yield StartTls()
        features = yield from _open_stream(call)
    if found := _XMPP_MECHANISM.findall(features):
        call.facts["mechanisms"] = printable(b" ".join(found))
    return CloseSequence(_XMPP_STREAM_END)


def _open_stream(call: ProtocolContext) -> Generator[ProtocolAction, bytes, bytes]:
    """Opens a stream; returns its features."""
    name = f"<?xml version='1.0'?><stream:stream to='{call.host}' version='1.0' xml:lang='en' "
    yield Send(f"{name}xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>".encode())
    return (yield from _read_until(_XMPP_FEATURES, begin=_XMPP_STREAM_START))[0]


def _read_until(
    wanted: re.Pattern[bytes], begin: re.Pattern[bytes] | None = None
) -> Generator[ProtocolAction, bytes, re.Match[bytes]]:
    """Reads until the wanted part of the stream is complete."""
    heard = b""
    while len(heard) <= _STREAM_BYTES_MAX:
        heard += yield ReadChunk()
        if not heard.lstrip().startswith(b"<"[: len(heard.lstrip())]):
            raise UnexpectedAnswer("The peer does not speak XMPP", heard)
        if error := _XMPP_ERROR.search(heard):
            _raise_stream_error(error[0])
        if found := wanted.search(heard):
            if begin is not None and not begin.match(heard):
                raise UnexpectedAnswer("The peer does not open a stream", heard)
            return found
    raise UnexpectedAnswer("The peer does not speak XMPP", heard)


def _raise_stream_error(error: bytes) -> None:
    found = _XMPP_CONDITION.match(error)
    condition = found[1] if found else b"undefined-condition"
    if condition in _XMPP_UNHEALTHY:
        raise ServiceUnhealthy("The server ends the stream", condition)
    raise ServiceRefused("The server ends the stream", condition)


def irc(call: ProtocolContext) -> ProtocolGenerator:
    """IRCv3 "Capability Negotiation" (CAP LS), RFC 2812 section 3.1.7 (QUIT): an answer, and no name on the network.

    A client that begins with CAP is not registered before it says so: nobody sees it come and go.
    """
    yield Send(b"CAP LS 302\r\n")
    for _ in range(_IRC_LINES_MAX):
        line = yield ReadLine(1024)
        found = _IRC_LINE.fullmatch(line)
        if found is None or (found[2].isdigit() and not found[1]):
            raise UnexpectedAnswer("The peer does not speak IRC", line)
        word, rest = found[2].upper(), found[3] or b""
        if word == b"ERROR" or word in _IRC_BANS:
            raise ServiceRefused("The server refuses", rest.removeprefix(b":"))
        if word == b"PING":
            yield Send(b"PONG " + rest + b"\r\n")
        elif word in _IRC_REPLIES:
            if found[1]:
                call.facts["server_name"] = printable(found[1][1:])
            if call.starttls == "require" and not call.over_tls:
                should_start_tls(call, offered=False)
            return CloseSequence(b"QUIT\r\n")
    raise UnexpectedAnswer("The server does not answer CAP")


SERVICES = (
    ServiceDefinition("xmpp", 5222, xmpp),
    ServiceDefinition("xmpps", 5223, xmpp, tls=True),
    ServiceDefinition("irc", 6667, irc, starttls="never"),
    ServiceDefinition("ircs", 6697, irc, tls=True),
)
