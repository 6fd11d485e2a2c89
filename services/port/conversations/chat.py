"""Chat: XMPP and IRC."""

import re
from collections.abc import Generator

import re2  # type: ignore[import-untyped]

from services.port.conversation import (
    Ask,
    Call,
    Entry,
    Goodbye,
    Line,
    Piece,
    Refusing,
    Say,
    StartTls,
    Talk,
    Unexpected,
    Unhealthy,
    shown,
)
from services.port.conversations.upgrades import stays_clear, wants_tls

_STREAM_BYTES_MAX = 16 * 1024
_XMPP_GOODBYE = b"</stream:stream>"
_XMPP_TLS = b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
# RE2, whose time is linear: with `re` some 64 KiB of unclosed elements held the loop for seconds.
_XMPP_BEGIN = re2.compile(rb"\s*(<\?xml[^>]*>\s*)?<stream:stream[\s>]")
_XMPP_FEATURES = re2.compile(rb"(?s)<stream:features\s*/>|<stream:features[\s>].*?</stream:features>")
_XMPP_ERROR = re2.compile(rb"(?s)<stream:error[\s>].*?</stream:error>")
_XMPP_CONDITION = re.compile(rb"<stream:error[^>]*>\s*<([a-z-]+)")
_XMPP_MECHANISM = re2.compile(rb"<mechanism[^>]*>([^<]*)</mechanism>")
_XMPP_TLS_ANSWER = re.compile(rb"<(proceed|failure)[\s/>]")
# RFC 6120 section 4.9.3: those that speak of the server, and not of us.
_XMPP_UNWELL = (
    *(b"internal-server-error", b"resource-constraint", b"system-shutdown", b"remote-connection-failed", b"reset"),
    b"undefined-condition",
)

_IRC_LINES_MAX = 64
# RFC 2812 section 2.3.1, tags before it as in IRCv3: a number comes from a server, which names itself.
_IRC_LINE = re.compile(rb"(?:@\S+ +)?(?:(:\S+) +)?([A-Za-z]+|[0-9]{3})(?: +(.*))?", re.DOTALL)
_IRC_ANSWERS = (b"CAP", b"421", b"451", b"410")  # unknown command, not registered: what older servers say to CAP
_IRC_BANS = (b"463", b"464", b"465", b"466")


def xmpp(call: Call) -> Talk:
    """RFC 6120 sections 4.2, 4.3 and 5.4: a stream is opened, its features are read, STARTTLS, and closed again.

    The stream is opened to the host as it was given: that has to be the domain which the server serves.
    """
    features = yield from _stream(call)
    if wants_tls(call, offered=b"<starttls" in features):
        yield Say(_XMPP_TLS)
        answer = (yield from _until(_XMPP_TLS_ANSWER))[0]
        if answer.startswith(b"<failure"):
            # The server closes the stream now (RFC 6120 section 5.4.2.2): there is nothing to go on with.
            stays_clear(call, "failure")
            return Goodbye(_XMPP_GOODBYE)
        yield StartTls()
        features = yield from _stream(call)
    if found := _XMPP_MECHANISM.findall(features):
        call.facts["mechanisms"] = shown(b" ".join(found))
    return Goodbye(_XMPP_GOODBYE)


def _stream(call: Call) -> Generator[Ask, bytes, bytes]:
    """Opens a stream; returns its features."""
    name = f"<?xml version='1.0'?><stream:stream to='{call.host}' version='1.0' xml:lang='en' "
    yield Say(f"{name}xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>".encode())
    return (yield from _until(_XMPP_FEATURES, begin=_XMPP_BEGIN))[0]


def _until(wanted: re.Pattern[bytes], begin: re.Pattern[bytes] | None = None) -> Generator[Ask, bytes, re.Match[bytes]]:
    """Reads until the wanted part of the stream is complete."""
    heard = b""
    while len(heard) <= _STREAM_BYTES_MAX:
        heard += yield Piece()
        if not heard.lstrip().startswith(b"<"[: len(heard.lstrip())]):
            raise Unexpected("The peer does not speak XMPP", heard)
        if error := _XMPP_ERROR.search(heard):
            _stream_error(error[0])
        if found := wanted.search(heard):
            if begin is not None and not begin.match(heard):
                raise Unexpected("The peer does not open a stream", heard)
            return found
    raise Unexpected("The peer does not speak XMPP", heard)


def _stream_error(error: bytes) -> None:
    found = _XMPP_CONDITION.match(error)
    condition = found[1] if found else b"undefined-condition"
    if condition in _XMPP_UNWELL:
        raise Unhealthy("The server ends the stream", condition)
    raise Refusing("The server ends the stream", condition)


def irc(call: Call) -> Talk:
    """IRCv3 "Capability Negotiation" (CAP LS), RFC 2812 section 3.1.7 (QUIT): an answer, and no name on the network.

    A client that begins with CAP is not registered before it says so: nobody sees it come and go.
    """
    yield Say(b"CAP LS 302\r\n")
    for _ in range(_IRC_LINES_MAX):
        line = yield Line(1024)
        found = _IRC_LINE.fullmatch(line)
        if found is None or (found[2].isdigit() and not found[1]):
            raise Unexpected("The peer does not speak IRC", line)
        word, rest = found[2].upper(), found[3] or b""
        if word == b"ERROR" or word in _IRC_BANS:
            raise Refusing("The server refuses", rest.removeprefix(b":"))
        if word == b"PING":
            yield Say(b"PONG " + rest + b"\r\n")
        elif word in _IRC_ANSWERS:
            if found[1]:
                call.facts["server_name"] = shown(found[1][1:])
            if call.starttls == "require" and not call.over_tls:
                wants_tls(call, offered=False)
            return Goodbye(b"QUIT\r\n")
    raise Unexpected("The server does not answer CAP")


SERVICES = (
    Entry("xmpp", 5222, xmpp),
    Entry("xmpps", 5223, xmpp, tls=True),
    Entry("irc", 6667, irc, starttls="never"),
    Entry("ircs", 6697, irc, tls=True),
)
