"""Tenant session: every operation of a request handler, bound to the tenant of the API key."""

import contextlib
import functools
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Self, TypeVar

import msgspec
from litestar import Request

from libs.bus import feed
from libs.bus.checks import check_now
from libs.model import interval
from libs.model.check import Check, Result
from libs.model.monitor import DEFAULT_LOCATION, MonitorView
from libs.model.requests.base import RpcRequest, TenantCommand, TenantRequest
from libs.model.requests.errors import ErrorCode, RequestError
from libs.model.requests.messages import ChangeTenant, CreateTenant, DeleteKey
from libs.model.tenancy import Actor, Principal, Scope
from services.gateway import on_demand_checks
from services.gateway.access.authenticator import has_scope
from services.gateway.access.concurrency import ConcurrencyLimit
from services.gateway.access.errors import AccessDenial, AccessDeniedError
from services.gateway.context import GatewayContext
from services.gateway.spec_intake import AcceptedSpec, SpecIntake
from services.gateway.web.event_stream import EventStreamResponse

R = TypeVar("R")

# Tenant requests that change quotas: operators only.
_OPERATOR_REQUESTS = (CreateTenant, ChangeTenant)


class TenantSession:
    """Operations of one request on the tenant of its API key.

    Outgoing requests get the tenant and actor of the session; values that a handler sets itself are overwritten.
    """

    def __init__(self, context: GatewayContext, principal: Principal, actor: Actor, secret: str) -> None:
        self._context, self._principal, self._actor, self._secret = context, principal, actor, secret
        self._tenant_id = principal.tenant_id

    @classmethod
    def from_request(cls, context: GatewayContext, request: Request[Principal, str, Any], via: str) -> Self:
        """Returns the session of an authenticated request; `via` is the name of the dialect, for the audit log."""
        principal = request.user
        address = request.client.host if request.client else ""
        actor = Actor(key_id=principal.key_id, key_name=principal.key_name, address=address, via=via)
        return cls(context, principal, actor, request.scope.get("auth") or "")

    @property
    def spec_intake(self) -> SpecIntake:
        """Validation and sealing of specs from this tenant; the only entry point for specs."""
        return SpecIntake(self._context.sealer, self._tenant_id)

    def now(self) -> datetime:
        return self._context.clock()

    async def request(self, request: TenantRequest[R], *, timeout_s: float = 5.0) -> R:
        """Sends a request on behalf of the session's tenant and returns its reply, or raises RequestError."""
        if isinstance(request, _OPERATOR_REQUESTS):
            self._check_operator()
        whose: dict[str, object] = {"tenant_id": self._tenant_id}
        if isinstance(request, TenantCommand):
            whose["actor"] = self._actor
        own = msgspec.structs.replace(request, **whose)
        return await self._context.bus.request(own, timeout_s=timeout_s)

    async def request_as_operator(self, request: RpcRequest[R], *, timeout_s: float = 5.0) -> R:
        """Sends a request that is not bound to one tenant. AccessDeniedError without the scope `operator`."""
        if isinstance(request, TenantRequest):
            raise TypeError(f"{type(request).__name__} is bound to one tenant: use TenantSession.request")
        self._check_operator()
        return await self._context.bus.request(request, timeout_s=timeout_s)

    def for_tenant(self, tenant_id: str) -> "TenantSession":
        """Returns a session on another tenant. AccessDeniedError without the scope `operator`."""
        self._check_operator()
        other = TenantSession(self._context, self._principal, self._actor, self._secret)
        other._tenant_id = tenant_id
        return other

    def check_grantable(self, scopes: Iterable[Scope]) -> None:
        """Refuses scopes that the key of this session does not have."""
        for index, scope in enumerate(scopes):
            if not has_scope(self._principal, scope):
                detail = f"can only be granted by a key that has this scope: {scope.value}"
                raise RequestError(ErrorCode.INVALID, detail, f"scopes[{index}]")

    async def revoke_key(self, key_id: str) -> None:
        """Revokes a key of the tenant: in this process before it returns, in others by an announcement on the bus."""
        await self.request(DeleteKey(key_id=key_id))
        self._context.authenticator.revoke(key_id)

    def check_from_spec(self, taken: AcceptedSpec, *, timeout_s: float, location: str = DEFAULT_LOCATION) -> Check:
        """Returns a check of a spec without a monitor."""
        return on_demand_checks.check_from_spec(
            taken, self._tenant_id, self.now(), timeout_s=timeout_s, location=location
        )

    def check_from_monitor(self, view: MonitorView, *, timeout_s: float, location: str) -> Check:
        """Returns a check of one of the tenant's monitors."""
        return on_demand_checks.check_from_monitor(
            view, self._tenant_id, self.now(), timeout_s=timeout_s, location=location
        )

    async def run_check(self, check: Check, wait_s: float) -> Result | None:
        """Runs `check` on a prober and returns its result; None if none arrives within `wait_s`."""
        own = msgspec.structs.replace(check, tenant_id=self._tenant_id)
        return await check_now(self._context.bus, own, interval.shard(own.monitor_id, self._context.shards), wait_s)

    def follow_feed(self, *, kind: str | None, monitor_id: str | None, after: str | None) -> EventStreamResponse:
        """Returns an event stream of the tenant's results and state changes. It ends when the key becomes invalid."""
        source = feed.follow(self._context.bus, self._tenant_id, kind=kind, monitor_id=monitor_id, after=after)
        authority, address = self._context.authenticator, self._actor.address
        refused = functools.partial(authority.wait_until_invalid, self._secret, address, self._principal)
        return EventStreamResponse(self._context.streams, source, refused, self._tenant_id)

    def acquire_slot(self, slots: ConcurrencyLimit) -> contextlib.AbstractContextManager[None]:
        """Returns a context that holds one of `slots` for the tenant."""
        return slots.acquire(self._tenant_id)

    def _check_operator(self) -> None:
        if not has_scope(self._principal, Scope.OPERATOR):
            raise AccessDeniedError(AccessDenial.SCOPE, f"The key lacks the scope {Scope.OPERATOR.value!r}.")
