"""Whether a conversation goes over to TLS in its middle."""

from services.port.protocol_api import ProtocolContext, TlsNotOffered, printable


def should_start_tls(call: ProtocolContext, *, offered: bool) -> bool:
    """Notes what is offered, and tells whether to go over to TLS; TlsMissing if that is required and not offered."""
    if call.over_tls:
        return False
    call.facts["tls_offered"] = offered
    if call.starttls == "never":
        return False
    if not offered and call.starttls == "require":
        raise TlsNotOffered("The server does not offer TLS")
    return offered


def record_starttls_refused(call: ProtocolContext, said: bytes | str) -> None:
    """Notes that a server will not go over to TLS after all; TlsMissing if that is required."""
    if call.starttls == "require":
        raise TlsNotOffered("The server refuses to go over to TLS", said)
    call.facts["starttls_refused"] = printable(said)
