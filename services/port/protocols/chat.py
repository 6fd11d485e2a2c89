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
# RFC 6120 section 4.9.3: conditions of the server, not of this client.
_XMPP_UNHEALTHY = (
    *(b"internal-server-error", b"resource-constraint", b"system-shutdown", b"remote-connection-failed", b"reset"),
    b"undefined-condition",
)

_IRC_LINES_MAX = 64
# RFC 2812 section 2.3.1, tags before it as in IRCv3: a numeric comes from a server, which is its prefix.
_IRC_LINE = re.compile(rb"(?:@\S+ +)?(?:(:\S+) +)?([A-Za-z]+|[0-9]{3})(?: +(.*))?", re.DOTALL)
_IRC_REPLIES = (b"CAP", b"421", b"451", b"410")  # unknown command, not registered: replies of older servers to CAP
_IRC_BANS = (b"463", b"464", b"465", b"466")


def xmpp(context: ProtocolContext) -> ProtocolGenerator:
    """RFC 6120 sections 4.2, 4.3 and 5.4: opens a stream, reads its features, STARTTLS, closes the stream.

    The stream is addressed to `host` as given, which has to be the XMPP domain of the server.
    """
    features = yield from _open_stream(context)
    if should_start_tls(context, offered=b"<starttls" in features):
        yield Send(_XMPP_STARTTLS)
        answer = (yield from _read_until(_XMPP_STARTTLS_REPLY))[0]
        if answer.startswith(b"<failure"):
            # The server closes the stream now (RFC 6120 section 5.4.2.2): the session cannot continue.
            record_starttls_refused(context, "failure")
            return CloseSequence(_XMPP_STREAM_END)
        yield StartTls()
        features = yield from _open_stream(context)
    if found := _XMPP_MECHANISM.findall(features):
        context.facts["mechanisms"] = printable(b" ".join(found))
    return CloseSequence(_XMPP_STREAM_END)


def _open_stream(context: ProtocolContext) -> Generator[ProtocolAction, bytes, bytes]:
    """Opens a stream; returns its features element."""
    name = f"<?xml version='1.0'?><stream:stream to='{context.host}' version='1.0' xml:lang='en' "
    yield Send(f"{name}xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>".encode())
    return (yield from _read_until(_XMPP_FEATURES, begin=_XMPP_STREAM_START))[0]


def _read_until(
    wanted: re.Pattern[bytes], begin: re.Pattern[bytes] | None = None
) -> Generator[ProtocolAction, bytes, re.Match[bytes]]:
    """Reads until `wanted` matches the stream."""
    received = b""
    while len(received) <= _STREAM_BYTES_MAX:
        received += yield ReadChunk()
        if not received.lstrip().startswith(b"<"[: len(received.lstrip())]):
            raise UnexpectedAnswer("The peer does not speak XMPP", received)
        if error := _XMPP_ERROR.search(received):
            _raise_stream_error(error[0])
        if found := wanted.search(received):
            if begin is not None and not begin.match(received):
                raise UnexpectedAnswer("The peer does not open a stream", received)
            return found
    raise UnexpectedAnswer("The peer does not speak XMPP", received)


def _raise_stream_error(error: bytes) -> None:
    found = _XMPP_CONDITION.match(error)
    condition = found[1] if found else b"undefined-condition"
    if condition in _XMPP_UNHEALTHY:
        raise ServiceUnhealthy("The server ends the stream", condition)
    raise ServiceRefused("The server ends the stream", condition)


def irc(context: ProtocolContext) -> ProtocolGenerator:
    """IRCv3 "Capability Negotiation" (CAP LS), RFC 2812 section 3.1.7 (QUIT): a reply without registration.

    CAP suspends registration, so that no user sees the client join or leave.
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
                context.facts["server_name"] = printable(found[1][1:])
            if context.starttls == "require" and not context.over_tls:
                should_start_tls(context, offered=False)
            return CloseSequence(b"QUIT\r\n")
    raise UnexpectedAnswer("The server does not answer CAP")


SERVICES = (
    ServiceDefinition("xmpp", 5222, xmpp),
    ServiceDefinition("xmpps", 5223, xmpp, tls=True),
    ServiceDefinition("irc", 6667, irc, starttls="never"),
    ServiceDefinition("ircs", 6697, irc, tls=True),
)
