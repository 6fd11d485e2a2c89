"""The one place where the gateway says whose things a request is about: those of whoever bears the key."""

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
from libs.model.requests.base import RpcRequest as Asked
from libs.model.requests.base import TenantCommand, TenantRequest
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

# They name a tenant as every request does, but change what it may have.
_OPERATOR_REQUESTS = (CreateTenant, ChangeTenant)


class TenantSession:
    """Whoever asks, and all that handlers can do for them: each request goes out with their own tenant and name.

    What a handler itself writes into `tenant_id` or `actor` is overwritten.
    """

    def __init__(self, means: GatewayContext, principal: Principal, actor: Actor, secret: str) -> None:
        self._context, self._principal, self._actor, self._secret = means, principal, actor, secret
        self._tenant_id = principal.tenant_id

    @classmethod
    def from_request(cls, means: GatewayContext, request: Request[Principal, str, Any], via: str) -> Self:
        """Returns the caller of a request that came in through the dialect `via`."""
        principal = request.user
        address = request.client.host if request.client else ""
        actor = Actor(key_id=principal.key_id, key_name=principal.key_name, address=address, via=via)
        return cls(means, principal, actor, request.scope.get("auth") or "")

    @property
    def spec_intake(self) -> SpecIntake:
        """What takes specs from this caller: the only way in for one."""
        return SpecIntake(self._context.sealer, self._tenant_id)

    def now(self) -> datetime:
        return self._context.clock()

    async def request(self, request: TenantRequest[R], *, timeout_s: float = 5.0) -> R:
        """Returns the reply about the caller's tenant, or raises RefusedError."""
        if isinstance(request, _OPERATOR_REQUESTS):
            self._check_operator()
        whose: dict[str, object] = {"tenant_id": self._tenant_id}
        if isinstance(request, TenantCommand):
            whose["actor"] = self._actor
        own = msgspec.structs.replace(request, **whose)
        return await self._context.bus.request(own, timeout_s=timeout_s)

    async def request_as_operator(self, request: Asked[R], *, timeout_s: float = 5.0) -> R:
        """Returns the reply to a request that is about no tenant, or about all; DeniedError unless an operator asks."""
        if isinstance(request, TenantRequest):
            raise TypeError(f"{type(request).__name__} is about one tenant: ask on its behalf")
        self._check_operator()
        return await self._context.bus.request(request, timeout_s=timeout_s)

    def for_tenant(self, tenant_id: str) -> "TenantSession":
        """Returns an operator who acts on another tenant; DeniedError for everybody else."""
        self._check_operator()
        other = TenantSession(self._context, self._principal, self._actor, self._secret)
        other._tenant_id = tenant_id
        return other

    def check_grantable(self, scopes: Iterable[Scope]) -> None:
        """Refuses scopes that whoever asks does not have: nobody hands out more."""
        for index, scope in enumerate(scopes):
            if not has_scope(self._principal, scope):
                detail = f"may only be handed out by a key that has it, which yours has not: {scope.value}"
                raise RequestError(ErrorCode.INVALID, detail, f"scopes[{index}]")

    async def revoke_key(self, key_id: str) -> None:
        """Revokes a key of the caller's tenant, here before the answer and elsewhere by an announcement."""
        await self.request(DeleteKey(key_id=key_id))
        self._context.authenticator.revoke(key_id)

    def check_from_spec(self, taken: AcceptedSpec, *, timeout_s: float, location: str = DEFAULT_LOCATION) -> Check:
        """Returns a check, to run at once, of a spec that belongs to no monitor."""
        return on_demand_checks.check_from_spec(
            taken, self._tenant_id, self.now(), timeout_s=timeout_s, location=location
        )

    def check_from_monitor(self, view: MonitorView, *, timeout_s: float, location: str) -> Check:
        """Returns a check, to run at once, of a monitor of the caller's."""
        return on_demand_checks.check_from_monitor(
            view, self._tenant_id, self.now(), timeout_s=timeout_s, location=location
        )

    async def run_check(self, check: Check, wait_s: float) -> Result | None:
        """Has `check` run by a prober and returns its result; None when none answered within `wait_s`."""
        own = msgspec.structs.replace(check, tenant_id=self._tenant_id)
        return await check_now(self._context.bus, own, interval.shard(own.monitor_id, self._context.shards), wait_s)

    def follow_feed(self, *, kind: str | None, monitor_id: str | None, after: str | None) -> EventStreamResponse:
        """Returns the answer that tells what happens in the caller's tenant, until the key stops being good."""
        source = feed.follow(self._context.bus, self._tenant_id, kind=kind, monitor_id=monitor_id, after=after)
        authority, address = self._context.authenticator, self._actor.address
        refused = functools.partial(authority.wait_until_invalid, self._secret, address, self._principal)
        return EventStreamResponse(self._context.streams, source, refused, self._tenant_id)

    def acquire_slot(self, slots: ConcurrencyLimit) -> contextlib.AbstractContextManager[None]:
        """Returns a context that holds one of the caller's tenant's `slots`."""
        return slots.acquire(self._tenant_id)

    def _check_operator(self) -> None:
        if not has_scope(self._principal, Scope.OPERATOR):
            raise AccessDeniedError(AccessDenial.SCOPE, f"This key lacks the scope {Scope.OPERATOR.value!r}.")
