"""The one place where the gateway says whose things a request is about: those of whoever bears the key."""

from typing import Any, Self, TypeVar

import msgspec
from litestar import Request

from libs.model.request import Command, OfTenant
from libs.model.tenancy import Actor, Principal, Scope
from services.gateway.auth import may
from services.gateway.denial import DeniedError, Fault
from services.gateway.means import Means
from services.gateway.specs import Specs

R = TypeVar("R")


class Caller:
    """Whoever asks, and all that handlers can do for them: each request goes out with their own tenant and name.

    What a handler itself writes into `tenant_id` or `actor` is overwritten.
    """

    def __init__(self, means: Means, principal: Principal, actor: Actor) -> None:
        self._means, self._principal, self._actor = means, principal, actor
        self._tenant_id = principal.tenant_id

    @classmethod
    def of(cls, means: Means, request: Request[Principal, str, Any], via: str) -> Self:
        """Returns the caller of a request that came in through the dialect `via`."""
        principal = request.user
        address = request.client.host if request.client else ""
        actor = Actor(key_id=principal.key_id, key_name=principal.key_name, address=address, via=via)
        return cls(means, principal, actor)

    @property
    def principal(self) -> Principal:
        return self._principal

    @property
    def specs(self) -> Specs:
        """What takes specs from this caller: the only way in for one."""
        return self._means.specs(self._tenant_id)

    async def ask(self, request: OfTenant[R], *, timeout_s: float = 5.0) -> R:
        """Returns the reply about the caller's tenant, or raises RefusedError."""
        whose: dict[str, object] = {"tenant_id": self._tenant_id}
        if isinstance(request, Command):
            whose["actor"] = self._actor
        return await self._means.bus.ask(msgspec.structs.replace(request, **whose), timeout_s=timeout_s)

    def on_behalf_of(self, tenant_id: str) -> "Caller":
        """Returns an operator who acts on another tenant; DeniedError for everybody else."""
        if not may(self._principal, Scope.OPERATOR):
            raise DeniedError(Fault.SCOPE, f"This key lacks the scope {Scope.OPERATOR.value!r}.")
        other = Caller(self._means, self._principal, self._actor)
        other._tenant_id = tenant_id
        return other
