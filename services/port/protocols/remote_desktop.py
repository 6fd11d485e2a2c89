"""Remote desktops: RDP up to its TLS handshake, VNC up to the security types."""

import struct

from services.port.protocol_api import (
    CloseSequence,
    ProtocolContext,
    ProtocolGenerator,
    ReadExactly,
    Send,
    ServiceDefinition,
    ServiceRefused,
    StartTls,
    UnexpectedAnswer,
    printable,
)

# TPKT, X.224 connection request, RDP negotiation request for TLS and CredSSP ([MS-RDPBCGR] 2.2.1.1).
_RDP_REQUEST = bytes.fromhex("030000130ee000000000000100080003000000")
_RDP_PROTOCOLS = {0: "rdp", 1: "tls", 2: "credssp", 4: "rdstls", 8: "credssp_ex"}
# [MS-RDPBCGR] 2.2.1.2.2: the server requires other settings, and is healthy.
_RDP_FAILURES = {
    1: "it requires TLS",
    2: "it does not allow TLS",
    3: "it has no certificate for TLS",
    4: "the request is inconsistent",
    5: "it requires CredSSP",
    6: "it requires TLS with a certificate of the client",
}
_RDP_BYTES_MAX = 256
_RFB_BYTES = 12
_REASON_BYTES_MAX = 1024


def rdp(context: ProtocolContext) -> ProtocolGenerator:
    """[MS-RDPBCGR] 1.3.1.1: the connection request, and TLS if the server selects it."""
    yield Send(_RDP_REQUEST)
    head = yield ReadExactly(4)
    size = int.from_bytes(head[2:4], "big")
    if head[:2] != b"\x03\x00" or not 11 <= size <= _RDP_BYTES_MAX:
        raise UnexpectedAnswer("The peer does not speak RDP", head)
    answer = yield ReadExactly(size - 4)
    if answer[1] != 0xD0:
        raise UnexpectedAnswer("The server does not confirm the connection", answer.hex())
    negotiation = answer[7:15]
    if len(negotiation) < 8:  # a server without negotiation
        context.facts["rdp_protocol"] = "rdp"
        return CloseSequence()
    kind, value = negotiation[0], int.from_bytes(negotiation[4:8], "little")
    if kind == 3:
        context.facts["rdp_failure"] = _RDP_FAILURES.get(value, f"failure {value}")
        return CloseSequence()
    context.facts["rdp_protocol"] = _RDP_PROTOCOLS.get(value, str(value))
    if value & 0b1011 and context.starttls != "never":
        yield StartTls()
    return CloseSequence()


def vnc(context: ProtocolContext) -> ProtocolGenerator:
    """RFC 6143 sections 7.1.1 and 7.1.2: exchange of versions, then the server's security types.

    Some servers count connections that do not authenticate, and refuse an address for a while after a few of them: the
    refusal is read here.
    """
    banner = yield ReadExactly(_RFB_BYTES)
    if not banner.startswith(b"RFB ") or banner[-1:] != b"\n":
        raise UnexpectedAnswer("The peer does not speak RFB", banner)
    context.facts["banner"] = printable(banner)
    context.facts["protocol_version"] = version = printable(banner[4:11])
    yield Send(b"RFB 003.008\n" if version >= "003.008" else banner)
    if version >= "003.007":
        count = (yield ReadExactly(1))[0]
        if count:
            types = yield ReadExactly(count)
            context.facts["security_types"] = ",".join(map(str, types))
            return CloseSequence()
    else:
        (kind,) = struct.unpack(">I", (yield ReadExactly(4)))
        if kind:
            context.facts["security_types"] = str(kind)
            return CloseSequence()
    (size,) = struct.unpack(">I", (yield ReadExactly(4)))
    raise ServiceRefused("The server refuses", (yield ReadExactly(min(size, _REASON_BYTES_MAX))) if size else b"")


SERVICES = (
    ServiceDefinition("rdp", 3389, rdp),
    ServiceDefinition("vnc", 5900, vnc),
)
