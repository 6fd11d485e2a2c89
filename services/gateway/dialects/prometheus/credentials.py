"""Authentication of GET /probe: an API key, or an allowed client address without one.

A prober without access control would expose its network to any client.
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

# Principal of clients without a key. The nil UUID is no tenant's id (tenants have UUIDv7 ids), so their checks cannot
# touch data of a tenant; the results are returned and never stored.
ANONYMOUS_PRINCIPAL = Principal(
    tenant_id="00000000-0000-0000-0000-000000000000",
    tenant_name="",
    key_id="",
    key_name="",
    scopes=[KeyScope.WRITE],
)
_SAME_SITE = frozenset({b"none", b"same-origin"})


class ProbeAuthMiddleware(ASGIMiddleware):
    """Sets `scope["user"]` like KeyAuthMiddleware; also accepts the key as the password of HTTP Basic."""

    scopes = (ScopeType.HTTP,)

    def __init__(self, authority: KeyAuthenticator, limits: RateLimiter, allowed: Sequence[str]) -> None:
        self._authenticator = authority
        self._rate_limiter = limits
        self._allowed = parse_networks(allowed)

    def __deepcopy__(self, _: dict[int, object]) -> Self:
        """Returns itself. Litestar copies middleware; a copied cache would miss revocations."""
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
        """Raises a 401 unless the client may probe without a key."""
        if not is_in_networks(address, self._allowed):
            raise unauthorized(
                "A key with the scope write is required; VEDETTE_PROBE_ALLOW lists addresses that need none.",
                fault=AccessDenial.KEY_MISSING,
            )
        # A proxy on an allowed address forwards requests of any client.
        if not PROXY_HEADERS.isdisjoint(headers):
            raise unauthorized(
                "The request came through a proxy: a key with the scope write is required.",
                fault=AccessDenial.KEY_MISSING,
            )
        if headers.get(b"sec-fetch-site", b"none") not in _SAME_SITE or _is_dns_rebinding(address, headers):
            raise unauthorized(
                "The request came from another web site: a key with the scope write is required.",
                fault=AccessDenial.KEY_MISSING,
            )


def _basic_to_bearer(header: bytes) -> bytes:
    """Returns `Basic name:KEY` as `Bearer KEY`, and any other header unchanged."""
    scheme, _, text = header.partition(b" ")
    if scheme.lower() != b"basic":
        return header
    try:
        return b"Bearer " + base64.b64decode(text.strip(), validate=True).partition(b":")[2]
    except ValueError:
        return header


def _is_dns_rebinding(address: str, headers: dict[bytes, bytes]) -> bool:
    """Whether a loopback client sends a public host name.

    That is DNS rebinding: a web page makes the browser treat responses of this server as its own.
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
