"""The one place where the gateway says whose things a request is about: those of whoever bears the key."""

import contextlib
import functools
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Self, TypeVar

import msgspec
from litestar import Request

from libs.bus import live
from libs.bus.checks import check_now
from libs.model import interval
from libs.model.check import Check, Result
from libs.model.monitor import DEFAULT_LOCATION, MonitorView
from libs.model.refusal import RefusalCode, RefusedError
from libs.model.request import Command, OfTenant
from libs.model.request import Request as Asked
from libs.model.requests import ChangeTenant, CreateTenant, DeleteKey
from libs.model.tenancy import Actor, Principal, Scope
from services.gateway import adhoc
from services.gateway.auth import may
from services.gateway.denial import DeniedError, Fault
from services.gateway.means import Means
from services.gateway.slots import Slots
from services.gateway.specs import Specs, Taken
from services.gateway.sse import EventStream

R = TypeVar("R")

# They name a tenant as every request does, but change what it may have.
_OPERATORS = (CreateTenant, ChangeTenant)


class Caller:
    """Whoever asks, and all that handlers can do for them: each request goes out with their own tenant and name.

    What a handler itself writes into `tenant_id` or `actor` is overwritten.
    """

    def __init__(self, means: Means, principal: Principal, actor: Actor, secret: str) -> None:
        self._means, self._principal, self._actor, self._secret = means, principal, actor, secret
        self._tenant_id = principal.tenant_id

    @classmethod
    def of(cls, means: Means, request: Request[Principal, str, Any], via: str) -> Self:
        """Returns the caller of a request that came in through the dialect `via`."""
        principal = request.user
        address = request.client.host if request.client else ""
        actor = Actor(key_id=principal.key_id, key_name=principal.key_name, address=address, via=via)
        return cls(means, principal, actor, request.scope.get("auth") or "")

    @property
    def specs(self) -> Specs:
        """What takes specs from this caller: the only way in for one."""
        return Specs(self._means.sealer, self._tenant_id)

    def now(self) -> datetime:
        return self._means.clock()

    async def ask(self, request: OfTenant[R], *, timeout_s: float = 5.0) -> R:
        """Returns the reply about the caller's tenant, or raises RefusedError."""
        if isinstance(request, _OPERATORS):
            self._check_operator()
        whose: dict[str, object] = {"tenant_id": self._tenant_id}
        if isinstance(request, Command):
            whose["actor"] = self._actor
        own = msgspec.structs.replace(request, **whose)
        return await self._means.bus.ask(own, timeout_s=timeout_s)

    async def ask_as_operator(self, request: Asked[R], *, timeout_s: float = 5.0) -> R:
        """Returns the reply to a request that is about no tenant, or about all; DeniedError unless an operator asks."""
        if isinstance(request, OfTenant):
            raise TypeError(f"{type(request).__name__} is about one tenant: ask on its behalf")
        self._check_operator()
        return await self._means.bus.ask(request, timeout_s=timeout_s)

    def on_behalf_of(self, tenant_id: str) -> "Caller":
        """Returns an operator who acts on another tenant; DeniedError for everybody else."""
        self._check_operator()
        other = Caller(self._means, self._principal, self._actor, self._secret)
        other._tenant_id = tenant_id
        return other

    def check_grantable(self, scopes: Iterable[Scope]) -> None:
        """Refuses scopes that whoever asks does not have: nobody hands out more."""
        for index, scope in enumerate(scopes):
            if not may(self._principal, scope):
                detail = f"may only be handed out by a key that has it, which yours has not: {scope.value}"
                raise RefusedError(RefusalCode.INVALID, detail, f"scopes[{index}]")

    async def revoke_key(self, key_id: str) -> None:
        """Revokes a key of the caller's tenant, here before the answer and elsewhere by an announcement."""
        await self.ask(DeleteKey(key_id=key_id))
        self._means.authority.revoke(key_id)

    def check_of_spec(self, taken: Taken, *, timeout_s: float, location: str = DEFAULT_LOCATION) -> Check:
        """Returns a check, to run at once, of a spec that belongs to no monitor."""
        return adhoc.of_spec(taken, self._tenant_id, self.now(), timeout_s=timeout_s, location=location)

    def check_of_monitor(self, view: MonitorView, *, timeout_s: float, location: str) -> Check:
        """Returns a check, to run at once, of a monitor of the caller's."""
        return adhoc.of_monitor(view, self._tenant_id, self.now(), timeout_s=timeout_s, location=location)

    async def run(self, check: Check, wait_s: float) -> Result | None:
        """Has `check` run by a prober and returns its result; None when none answered within `wait_s`."""
        own = msgspec.structs.replace(check, tenant_id=self._tenant_id)
        return await check_now(self._means.bus, own, interval.shard(own.monitor_id, self._means.shards), wait_s)

    def follow(self, *, kind: str | None, monitor_id: str | None, after: str | None) -> EventStream:
        """Returns the answer that tells what happens in the caller's tenant, until the key stops being good."""
        source = live.follow(self._means.bus, self._tenant_id, kind=kind, monitor_id=monitor_id, after=after)
        authority, address = self._means.authority, self._actor.address
        refused = functools.partial(authority.until_refused, self._secret, address, self._principal)
        return EventStream(self._means.streams, source, refused, self._tenant_id)

    def slot(self, slots: Slots) -> contextlib.AbstractContextManager[None]:
        """Returns a context that holds one of the caller's tenant's `slots`."""
        return slots.one_more(self._tenant_id)

    def _check_operator(self) -> None:
        if not may(self._principal, Scope.OPERATOR):
            raise DeniedError(Fault.SCOPE, f"This key lacks the scope {Scope.OPERATOR.value!r}.")
