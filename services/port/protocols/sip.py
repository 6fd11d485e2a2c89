"""SIP: an OPTIONS request."""

import re

from services.port.protocol_api import (
    CloseSequence,
    ProtocolContext,
    ProtocolGenerator,
    ReadChunk,
    ReadLine,
    Send,
    ServiceDefinition,
    ServiceUnhealthy,
    UnexpectedAnswer,
    printable,
)

_STATUS = re.compile(rb"SIP/2\.0 ([1-6][0-9]{2}) ?(.*)")
_LINES_MAX = 64


def sip(context: ProtocolContext) -> ProtocolGenerator:
    """RFC 3261 section 11: OPTIONS.

    Any response shows that the server is up; with 503 it reports that it is unhealthy.
    """
    branch, call_id = f"z9hG4bK{context.random(8).hex()}", context.random(12).hex()
    yield Send(_encode_options(context, branch, call_id))
    if not context.over_udp:
        return (yield from _read_response(context, (yield ReadLine(1024)), None))
    while True:
        datagram = yield ReadChunk()
        first, _, rest = datagram.partition(b"\r\n")
        if _STATUS.fullmatch(first) and call_id.encode() not in rest:
            continue  # a response to another request
        return (yield from _read_response(context, first, rest))


def _read_response(context: ProtocolContext, first: bytes, rest: bytes | None) -> ProtocolGenerator:
    found = _STATUS.fullmatch(first)
    if found is None:
        raise UnexpectedAnswer("The peer does not speak SIP", first)
    context.facts["sip_status"] = int(found[1])
    lines = rest.split(b"\r\n")[:_LINES_MAX] if rest is not None else []
    for _ in range(_LINES_MAX if rest is None else 0):
        line = yield ReadLine(1024)
        if not line:
            break
        lines.append(line)
    for line in lines:
        name, _, value = line.partition(b":")
        if name.strip().lower() in (b"server", b"user-agent"):
            context.facts["software"] = printable(value.strip())
    if found[1] == b"503":
        raise ServiceUnhealthy("The server answers 503", found[2])
    return CloseSequence()


def _encode_options(context: ProtocolContext, branch: str, call_id: str) -> bytes:
    transport = "UDP" if context.over_udp else "TLS" if context.over_tls else "TCP"
    host = f"[{context.host}]" if ":" in context.host else context.host
    lines = (
        f"OPTIONS sip:{host} SIP/2.0",
        f"Via: SIP/2.0/{transport} vedette.invalid:{context.port};branch={branch};rport",
        "Max-Forwards: 70",
        f"From: <sip:check@vedette.invalid>;tag={call_id[:10]}",
        f"To: <sip:{host}>",
        f"Call-ID: {call_id}@vedette.invalid",
        "CSeq: 1 OPTIONS",
        "Contact: <sip:check@vedette.invalid>",
        "Accept: application/sdp",
        "User-Agent: Vedette",
        "Content-Length: 0",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


SERVICES = (
    ServiceDefinition("sip", 5060, sip, transport="udp", transports=("tcp",)),
    ServiceDefinition("sips", 5061, sip, tls=True),
)
