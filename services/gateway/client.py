"""From which address a client asks, also through proxies: those of VEDETTE_TRUSTED_PROXIES, and no others, are believed."""

from collections.abc import Sequence

from litestar.types import HTTPScope

from libs.model.networks import Address, Network, address_of, is_inside

FORWARDED_FOR = b"x-forwarded-for"
# What proxies tell of themselves. A request that still has one of these came through a proxy that nobody vouches for.
PROXIED = frozenset({b"forwarded", b"via", FORWARDED_FOR, b"x-real-ip"})
# Of a client that a trusted proxy does not name: it lies in no range, so that it can do nothing that needs one.
NOWHERE = ""


def seen_through(scope: HTTPScope, trusted: Sequence[Network]) -> HTTPScope:
    """Returns the request as it reached the outermost trusted proxy: `client` is who asked that one.

    Each proxy appends to X-Forwarded-For who asked it, so the list is read from its end, as long as whoever said so is
    trusted. What stands before that was said by strangers: it stays in the header, and counts for nothing. Where the
    trusted end of the list holds something that is no address, nobody knows who asks: the client is NOWHERE.
    """
    peer = scope["client"][0] if scope["client"] else NOWHERE
    hops = [hop for name, value in scope["headers"] if name == FORWARDED_FOR for hop in value.split(b",")]
    if not hops or not is_inside(peer, trusted):
        return scope
    address = peer
    while hops and is_inside(address, trusted):
        found = _forwarded(hops.pop().decode("latin-1"))
        address = NOWHERE if found is None else str(found)
    headers = [(name, value) for name, value in scope["headers"] if name not in PROXIED]
    if hops:
        headers.append((FORWARDED_FOR, b",".join(hops)))
    return {**scope, "client": (address, 0), "headers": headers}


def _forwarded(text: str) -> Address | None:
    """Returns what one element of X-Forwarded-For names: an address, also with a port, IPv6 then in brackets."""
    text = text.strip(" \t")
    if text.startswith("["):
        host, closed, port = text[1:].partition("]")
        return address_of(host) if ":" in host and closed and _is_port(port) and "%" not in host else None
    host, colon, port = text.partition(":")
    if colon and "." in host and ":" not in port:
        return address_of(host) if _is_port(colon + port) else None
    return None if "%" in text else address_of(text)


def _is_port(text: str) -> bool:
    """Tells whether `text` is nothing, or a colon and a port."""
    number = text.removeprefix(":")
    return not text or (text != number and number.isascii() and number.isdecimal() and len(number) <= 5)
