"""Telephony: SIP."""

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


def sip(call: ProtocolContext) -> ProtocolGenerator:
    """RFC 3261 section 11: OPTIONS. Any answer shows a living server; 503 is its own word that it is not well."""
    branch, identity = f"z9hG4bK{call.random(8).hex()}", call.random(12).hex()
    yield Send(_encode_options(call, branch, identity))
    if not call.over_udp:
        return (yield from _read_response(call, (yield ReadLine(1024)), None))
    while True:
        datagram = yield ReadChunk()
        first, _, rest = datagram.partition(b"\r\n")
        if _STATUS.fullmatch(first) and identity.encode() not in rest:
            continue  # the answer to somebody else, or to what we asked long ago
        return (yield from _read_response(call, first, rest))


def _read_response(call: ProtocolContext, first: bytes, rest: bytes | None) -> ProtocolGenerator:
    found = _STATUS.fullmatch(first)
    if found is None:
        raise UnexpectedAnswer("The peer does not speak SIP", first)
    call.facts["sip_status"] = int(found[1])
    lines = rest.split(b"\r\n")[:_LINES_MAX] if rest is not None else []
    for _ in range(_LINES_MAX if rest is None else 0):
        line = yield ReadLine(1024)
        if not line:
            break
        lines.append(line)
    for line in lines:
        name, _, value = line.partition(b":")
        if name.strip().lower() in (b"server", b"user-agent"):
            call.facts["software"] = printable(value.strip())
    if found[1] == b"503":
        raise ServiceUnhealthy("The server answers 503", found[2])
    return CloseSequence()


def _encode_options(call: ProtocolContext, branch: str, identity: str) -> bytes:
    transport = "UDP" if call.over_udp else "TLS" if call.over_tls else "TCP"
    host = f"[{call.host}]" if ":" in call.host else call.host
    lines = (
        f"OPTIONS sip:{host} SIP/2.0",
        f"Via: SIP/2.0/{transport} vedette.invalid:{call.port};branch={branch};rport",
        "Max-Forwards: 70",
        f"From: <sip:check@vedette.invalid>;tag={identity[:10]}",
        f"To: <sip:{host}>",
        f"Call-ID: {identity}@vedette.invalid",
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
