"""Authentication by API key: look-up over the bus, a short-lived cache and immediate revocation."""

import asyncio
import contextlib
import math
import time
from collections import OrderedDict, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from typing import Self, TypeVar

import msgspec
from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.handlers.base import BaseRouteHandler
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Send
from litestar.types import Scope as AsgiScope
from litestar.types.callable_types import Guard

from libs.bus.connection import Bus
from libs.model.fields.networks import IpNetwork, is_in_networks, parse_networks
from libs.model.requests.errors import ErrorCode, RequestError
from libs.model.requests.messages import Authenticate
from libs.model.tenancy import Principal, Scope, api_key_digest
from services.gateway.access.errors import AccessDenial, AccessDeniedError
from services.gateway.access.failed_keys import FailedKeyLimiter
from services.gateway.access.rate_limiter import RateLimiter

CACHE_TTL_S = 5.0
CACHE_ENTRIES_MAX = 10_000
LOOKUP_S_MAX = 3.0
RECHECK_INTERVAL_S = 10.0
SECRET_LENGTH_MAX = 200

_SCOPE_RANK = {scope: rank for rank, scope in enumerate(Scope)}

V = TypeVar("V")


class AuthenticatedKey(msgspec.Struct, frozen=True):
    """A principal with its parsed networks."""

    principal: Principal
    networks: tuple[IpNetwork, ...]


class KeyAuthenticator:
    """Authenticates API keys. Look-ups, successful or not, are cached for `CACHE_TTL_S` seconds."""

    def __init__(self, bus: Bus, clock: Callable[[], datetime]) -> None:
        self._bus = bus
        self._clock = clock
        self._cache: OrderedDict[str, tuple[float, AuthenticatedKey | None]] = OrderedDict()
        self._revoked: OrderedDict[str, None] = OrderedDict()
        self._watchers: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._failed_keys = FailedKeyLimiter()

    async def authenticate(self, secret: str, address: str) -> Principal:
        """Returns the principal of the key `secret` used from `address`; raises a 401, 403 or 429."""
        bearer = await self._resolve(api_key_digest(secret), address)
        if bearer is None or bearer.principal.key_id in self._revoked:
            raise unauthorized("The key is unknown or was revoked.", "invalid_token")
        if self._expires_in_s(bearer.principal) <= 0:
            raise unauthorized("The key has expired.", "invalid_token")
        if bearer.networks and not is_in_networks(address, bearer.networks):
            raise AccessDeniedError(AccessDenial.ADDRESS, f"The key may not be used from {address or 'this address'}.")
        return bearer.principal

    def revoke(self, key_id: str) -> None:
        """Revokes the key in this process, and wakes the tasks that wait for its end."""
        _cache_put(self._revoked, key_id, None)
        for event in self._watchers.get(key_id, ()):
            event.set()

    async def follow_revocations(self, key_ids: AsyncIterator[bytes]) -> None:
        """Revokes every announced key. A missed announcement takes effect after `CACHE_TTL_S` seconds."""
        async for key_id in key_ids:
            self.revoke(key_id.decode("ascii", "replace"))

    async def wait_until_invalid(self, secret: str, address: str, principal: Principal) -> None:
        """Returns when the key of `principal` becomes invalid: immediately on revocation and expiry."""
        with self._watch_revocation(principal.key_id) as revoked:
            while not revoked.is_set() and (left_s := self._expires_in_s(principal)) > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(min(left_s, RECHECK_INTERVAL_S)):
                        await revoked.wait()
                # An announcement may have been lost while the bus was down, so the key is looked up again.
                try:
                    principal = await self.authenticate(secret, address)
                except HTTPException as error:
                    if isinstance(error, AccessDeniedError) and error.denial is AccessDenial.RATE:
                        continue  # failed look-ups of other clients at this address
                    return
                except RequestError:
                    continue  # the results service is unavailable

    def _expires_in_s(self, principal: Principal) -> float:
        """Returns the seconds until the key expires; infinity if it does not."""
        expires_at = principal.expires_at
        return math.inf if expires_at is None else (expires_at - self._clock()).total_seconds()

    @contextlib.contextmanager
    def _watch_revocation(self, key_id: str) -> Iterator[asyncio.Event]:
        """Yields an event that is set when the key is revoked."""
        event = asyncio.Event()
        self._watchers[key_id].add(event)
        try:
            if key_id in self._revoked:
                event.set()
            yield event
        finally:
            self._watchers[key_id].discard(event)
            if not self._watchers[key_id]:
                del self._watchers[key_id]

    async def _resolve(self, sha256: str, address: str) -> AuthenticatedKey | None:
        known = self._cache.get(sha256)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        if known is not None and known[1] is not None:
            return await self._look_up(sha256)  # recently valid: not subject to the limit of failed look-ups
        async with self._failed_keys.admit_lookup(address) as turn:
            known = self._cache.get(sha256)  # a concurrent request may have filled the cache
            if known is not None and known[0] > time.monotonic():
                return known[1]
            bearer = await self._look_up(sha256)
            if bearer is None:
                turn.record_failure()
            return bearer

    async def _look_up(self, sha256: str) -> AuthenticatedKey | None:
        try:
            principal = await self._bus.request(Authenticate(key_sha256=sha256), timeout_s=LOOKUP_S_MAX)
            bearer = AuthenticatedKey(principal, parse_networks(principal.cidrs))
        except RequestError as error:
            if error.info.code is not ErrorCode.NOT_FOUND:
                raise
            bearer = None
        _cache_put(self._cache, sha256, (time.monotonic() + CACHE_TTL_S, bearer))
        return bearer


class KeyAuthMiddleware(ASGIMiddleware):
    """Requires an API key; sets `scope["user"]` to the principal and `scope["auth"]` to the key."""

    scopes = (ScopeType.HTTP,)

    def __init__(self, authority: KeyAuthenticator, limits: RateLimiter) -> None:
        self._authenticator = authority
        self._rate_limiter = limits

    def __deepcopy__(self, _: dict[int, object]) -> Self:
        """Returns itself. Litestar copies middleware; a copied cache would miss revocations."""
        return self

    async def handle(self, scope: AsgiScope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        secret = parse_authorization([value for name, value in scope["headers"] if name == b"authorization"])
        client = scope["client"]
        scope["auth"] = secret
        scope["user"] = await self._authenticator.authenticate(secret, client[0] if client else "")
        await self._rate_limiter.acquire(scope["user"])
        await next_app(scope, receive, send)


def requires_scope(scope: Scope) -> Guard:
    """Returns a guard that requires `scope` or one that includes it."""

    # A coroutine: Litestar runs synchronous guards in a thread.
    async def guard(connection: ASGIConnection, _: BaseRouteHandler) -> None:  # type: ignore[type-arg] # as in litestar
        if not has_scope(connection.user, scope):
            raise AccessDeniedError(AccessDenial.SCOPE, f"The key lacks the scope {scope.value!r}.")

    return guard


def has_scope(principal: Principal, scope: Scope) -> bool:
    """Whether a key has `scope` or one that includes it."""
    return any(_SCOPE_RANK[own] >= _SCOPE_RANK[scope] for own in principal.scopes)


def unauthorized(
    detail: str, error: str | None = None, fault: AccessDenial = AccessDenial.KEY_INVALID
) -> AccessDeniedError:
    """Returns a 401 with the challenge of RFC 6750."""
    challenge = 'Bearer realm="vedette"' + (f', error="{error}"' if error else "")
    return AccessDeniedError(fault, detail, {"WWW-Authenticate": challenge})


def parse_authorization(headers: list[bytes]) -> str:
    """Returns the key in the Authorization headers of a request; raises a 401 if it is missing or malformed."""
    if not headers:
        raise unauthorized("An API key is required: Authorization: Bearer KEY.", fault=AccessDenial.KEY_MISSING)
    if len(headers) > 1:
        raise unauthorized("Send exactly one Authorization header.", "invalid_request")
    scheme, _, secret = headers[0].decode("latin-1").strip().partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer" or not secret:
        raise unauthorized("Only Authorization: Bearer KEY is accepted.", "invalid_request", AccessDenial.KEY_MISSING)
    if len(secret) > SECRET_LENGTH_MAX or not secret.isascii():
        raise unauthorized("The key is unknown or was revoked.", "invalid_token")
    return secret


def _cache_put(cache: OrderedDict[str, V], key: str, value: V) -> None:
    """Stores the entry as the newest one; evicts the oldest beyond `CACHE_ENTRIES_MAX`."""
    cache[key] = value
    cache.move_to_end(key)
    if len(cache) > CACHE_ENTRIES_MAX:
        cache.popitem(last=False)
