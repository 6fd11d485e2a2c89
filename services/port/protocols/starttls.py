"""STARTTLS decisions that all protocols share."""

from services.port.protocol_api import ProtocolContext, TlsNotOffered, printable


def should_start_tls(context: ProtocolContext, *, offered: bool) -> bool:
    """Records the offer and returns whether to start TLS; TlsNotOffered if it is required and not offered."""
    if context.over_tls:
        return False
    context.facts["tls_offered"] = offered
    if context.starttls == "never":
        return False
    if not offered and context.starttls == "require":
        raise TlsNotOffered("The server does not offer TLS")
    return offered


def record_starttls_refused(context: ProtocolContext, reply: bytes | str) -> None:
    """Records that the server refused STARTTLS; TlsNotOffered if it is required."""
    if context.starttls == "require":
        raise TlsNotOffered("The server refuses STARTTLS", reply)
    context.facts["starttls_refused"] = printable(reply)
