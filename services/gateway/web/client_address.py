"""From which address a client asks, also through proxies: those of VEDETTE_TRUSTED_PROXIES, and no others, are believed."""

from collections.abc import Sequence

from litestar.types import HTTPScope

from libs.model.fields.networks import IpAddress, IpNetwork, is_in_networks, parse_ip

FORWARDED_FOR = b"x-forwarded-for"
# What proxies tell of themselves. A request that still has one of these came through a proxy that nobody vouches for.
PROXY_HEADERS = frozenset({b"forwarded", b"via", FORWARDED_FOR, b"x-real-ip"})
# Of a client that a trusted proxy does not name: it lies in no range, so that it can do nothing that needs one.
UNKNOWN_CLIENT = ""


def resolve_client(scope: HTTPScope, trusted: Sequence[IpNetwork]) -> HTTPScope:
    """Returns the request as it reached the outermost trusted proxy: `client` is who asked that one.

    Each proxy appends to X-Forwarded-For who asked it, so the list is read from its end, as long as whoever said so is
    trusted. What stands before that was said by strangers: it stays in the header, and counts for nothing. Where the
    trusted end of the list holds something that is no address, nobody knows who asks: the client is NOWHERE.
    """
    peer = scope["client"][0] if scope["client"] else UNKNOWN_CLIENT
    hops = [hop for name, value in scope["headers"] if name == FORWARDED_FOR for hop in value.split(b",")]
    if not hops or not is_in_networks(peer, trusted):
        return scope
    address = peer
    while hops and is_in_networks(address, trusted):
        found = _parse_forwarded(hops.pop().decode("latin-1"))
        address = UNKNOWN_CLIENT if found is None else str(found)
    headers = [(name, value) for name, value in scope["headers"] if name not in PROXY_HEADERS]
    if hops:
        headers.append((FORWARDED_FOR, b",".join(hops)))
    return {**scope, "client": (address, 0), "headers": headers}


def _parse_forwarded(text: str) -> IpAddress | None:
    """Returns what one element of X-Forwarded-For names: an address, also with a port, IPv6 then in brackets."""
    text = text.strip(" \t")
    if text.startswith("["):
        host, closed, port = text[1:].partition("]")
        return parse_ip(host) if ":" in host and closed and _is_port_suffix(port) and "%" not in host else None
    host, colon, port = text.partition(":")
    if colon and "." in host and ":" not in port:
        return parse_ip(host) if _is_port_suffix(colon + port) else None
    return None if "%" in text else parse_ip(text)


def _is_port_suffix(text: str) -> bool:
    """Tells whether `text` is nothing, or a colon and a port."""
    number = text.removeprefix(":")
    return not text or (text != number and number.isascii() and number.isdecimal() and len(number) <= 5)
