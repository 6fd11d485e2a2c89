"""Who may have a target probed: whoever has a key, and without one only programs at addresses that were allowed.

A prober that anybody can send anywhere is a way into the network that it stands in.
"""

import base64
import ipaddress
from collections.abc import Sequence
from typing import Self

from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

from libs.model.fields.networks import is_in_networks, parse_networks
from libs.model.tenancy import Principal
from libs.model.tenancy import Scope as KeyScope
from services.gateway.access.authenticator import KeyAuthenticator, parse_authorization, unauthorized
from services.gateway.access.errors import AccessDenial
from services.gateway.access.rate_limiter import RateLimiter
from services.gateway.web.client_address import PROXY_HEADERS

# Callers without a key are nobody's customer. The id can be no tenant's (ours are UUIDv7), so that whatever is done
# for them touches no tenant's things; results of such checks are answered only, and never stored.
ANONYMOUS_PRINCIPAL = Principal(
    tenant_id="00000000-0000-0000-0000-000000000000",
    tenant_name="",
    key_id="",
    key_name="",
    scopes=[KeyScope.WRITE],
)
_SAME_SITE = frozenset({b"none", b"same-origin"})


class ProbeAuthMiddleware(ASGIMiddleware):
    """Leaves who it is in `scope["user"]`, as KeyAuth does; also takes a key as the password of HTTP Basic."""

    scopes = (ScopeType.HTTP,)

    def __init__(self, authority: KeyAuthenticator, limits: RateLimiter, allowed: Sequence[str]) -> None:
        self._authenticator = authority
        self._rate_limiter = limits
        self._allowed = parse_networks(allowed)

    def __deepcopy__(self, _: dict[int, object]) -> Self:
        """Stays itself: Litestar copies what it registers, and a copied memory would miss revocations."""
        return self

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        client = scope["client"]
        address = client[0] if client else ""
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if given:
            scope["auth"] = parse_authorization([_basic_to_bearer(value) for value in given])
            scope["user"] = await self._authenticator.authenticate(scope["auth"], address)
            await self._rate_limiter.acquire(scope["user"])
        else:
            self._check_anonymous(address, dict(scope["headers"]))
            scope["user"] = ANONYMOUS_PRINCIPAL
        await next_app(scope, receive, send)

    def _check_anonymous(self, address: str, headers: dict[bytes, bytes]) -> None:
        """Returns if the caller needs no key, or raises the 401 that says why it does."""
        if not is_in_networks(address, self._allowed):
            raise unauthorized(
                "Send a key that may write; VEDETTE_PROBE_ALLOW says who needs none.", fault=AccessDenial.KEY_MISSING
            )
        # A proxy on an allowed address speaks for whoever reaches the proxy.
        if not PROXY_HEADERS.isdisjoint(headers):
            raise unauthorized("This came through a proxy: send a key that may write.", fault=AccessDenial.KEY_MISSING)
        if headers.get(b"sec-fetch-site", b"none") not in _SAME_SITE or _is_dns_rebinding(address, headers):
            raise unauthorized(
                "This came from a web page elsewhere: send a key that may write.", fault=AccessDenial.KEY_MISSING
            )


def _basic_to_bearer(header: bytes) -> bytes:
    """Returns `Basic name:KEY` as `Bearer KEY`, and anything else as it is."""
    scheme, _, text = header.partition(b" ")
    if scheme.lower() != b"basic":
        return header
    try:
        return b"Bearer " + base64.b64decode(text.strip(), validate=True).partition(b":")[2]
    except ValueError:
        return header


def _is_dns_rebinding(address: str, headers: dict[bytes, bytes]) -> bool:
    """Tells whether a program on this machine calls us by a name of the Internet.

    That is how a web page makes a browser take our answers for its own (DNS rebinding).
    """
    caller = ipaddress.ip_address(address)
    mapped = caller.ipv4_mapped if isinstance(caller, ipaddress.IPv6Address) else None
    if not (mapped or caller).is_loopback:
        return False
    host = headers.get(b"host", b"").decode("latin-1").rpartition("@")[2].partition("]")[0]
    name = host.removeprefix("[") if host.startswith("[") else host.partition(":")[0]
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return "." in name.rstrip(".")
    return False
