"""Client address of a request, also behind the trusted proxies of VEDETTE_TRUSTED_PROXIES."""

from collections.abc import Sequence

from litestar.types import HTTPScope

from libs.model.fields.networks import IpAddress, IpNetwork, is_in_networks, parse_ip

FORWARDED_FOR = b"x-forwarded-for"
# Headers that proxies add. A request that still has one came through an untrusted proxy.
PROXY_HEADERS = frozenset({b"forwarded", b"via", FORWARDED_FOR, b"x-real-ip"})
# A client whose address a trusted proxy did not report. It is in no network, so address rules refuse it.
UNKNOWN_CLIENT = ""


def resolve_client(scope: HTTPScope, trusted: Sequence[IpNetwork]) -> HTTPScope:
    """Returns the request with `client` set to the address that the outermost trusted proxy reported.

    Each proxy appends the address of its peer to X-Forwarded-For. The list is read from its end while the reporting hop
    is trusted. Earlier elements are unverified: they stay in the header and are ignored. If the trusted part contains
    something other than an address, the client is UNKNOWN_CLIENT.
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
    """Parses one element of X-Forwarded-For: an address, optionally with a port (IPv6 then in brackets)."""
    text = text.strip(" \t")
    if text.startswith("["):
        host, closed, port = text[1:].partition("]")
        return parse_ip(host) if ":" in host and closed and _is_port_suffix(port) and "%" not in host else None
    host, colon, port = text.partition(":")
    if colon and "." in host and ":" not in port:
        return parse_ip(host) if _is_port_suffix(colon + port) else None
    return None if "%" in text else parse_ip(text)


def _is_port_suffix(text: str) -> bool:
    """Whether `text` is empty, or a colon and a port."""
    number = text.removeprefix(":")
    return not text or (text != number and number.isascii() and number.isdecimal() and len(number) <= 5)
