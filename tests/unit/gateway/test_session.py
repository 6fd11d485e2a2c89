"""Permissions of a session are checked before any request on the bus."""

from typing import Any

import pytest

from libs.model.ids import new_id
from libs.model.requests.base import RpcRequest
from libs.model.requests.errors import RequestError
from libs.model.requests.messages import (
    Authenticate,
    ChangeTenant,
    CreateTenant,
    GetTenant,
    ListMonitors,
    ListSealedSpecs,
    ListTenants,
)
from libs.model.tenancy import Actor, Principal, Scope
from libs.sealing.sealer import Sealer
from services.gateway.access.concurrency import ConcurrencyLimit
from services.gateway.access.errors import AccessDenial, AccessDeniedError
from services.gateway.context import GatewayContext
from services.gateway.session import TenantSession


def session(*scopes: Scope, tenant_id: str = "") -> TenantSession:
    """Returns a caller with a key of `scopes`, who has nobody to ask."""
    nobody: Any = None
    tenant_id = tenant_id or new_id()
    principal = Principal(tenant_id=tenant_id, tenant_name="t", key_id=new_id(), key_name="k", scopes=list(scopes))
    means = GatewayContext(
        bus=nobody, authenticator=nobody, rate_limiter=nobody, streams=nobody, clock=nobody, shards=1, sealer=Sealer([])
    )
    return TenantSession(means, principal, Actor(), "")


@pytest.mark.parametrize("request_", [ListTenants(limit=1), ListSealedSpecs(limit=1), Authenticate(key_sha256="")])
async def test_requests_about_no_tenant_need_the_operator_method(request_: RpcRequest[Any]) -> None:
    with pytest.raises(AccessDeniedError) as caught:
        await session(Scope.ADMIN).request_as_operator(request_)
    assert caught.value.denial is AccessDenial.SCOPE
    asked: Any = request_
    with pytest.raises(TypeError, match="tenant_id"):
        await session(Scope.OPERATOR).request(asked)


async def test_requests_about_one_tenant_are_refused_by_the_operator_method() -> None:
    for request in (ListMonitors(tenant_id=new_id(), limit=1), GetTenant(tenant_id=new_id())):
        with pytest.raises(TypeError, match="is bound to one tenant"):
            await session(Scope.OPERATOR).request_as_operator(request)


@pytest.mark.parametrize("request_", [CreateTenant(name="mine"), ChangeTenant(monitors_max=None)])
async def test_no_tenant_changes_what_it_may_have(request_: Any) -> None:
    with pytest.raises(AccessDeniedError, match="'operator'"):
        await session(Scope.ADMIN).request(request_)


def test_only_an_operator_acts_for_another_tenant() -> None:
    with pytest.raises(AccessDeniedError, match="'operator'"):
        session(Scope.ADMIN).for_tenant(new_id())
    other = new_id()
    acting = session(Scope.OPERATOR).for_tenant(other)
    assert acting.spec_intake.tenant_id == other


@pytest.mark.parametrize(
    ("own", "wanted", "field"),
    [
        *((Scope.ADMIN, [Scope.OPERATOR], "scopes[0]"), (Scope.ADMIN, [Scope.READ, Scope.OPERATOR], "scopes[1]")),
        *((Scope.READ, [Scope.WRITE], "scopes[0]"), (Scope.ADMIN, [Scope.ADMIN], None)),
        *((Scope.OPERATOR, list(Scope), None), (Scope.WRITE, [Scope.READ], None)),
    ],
)
def test_a_key_cannot_grant_scopes_that_it_does_not_have(own: Scope, wanted: list[Scope], field: str | None) -> None:
    if field is None:
        session(own).check_grantable(wanted)
        return
    with pytest.raises(RequestError) as caught:
        session(own).check_grantable(wanted)
    assert caught.value.info.field == field


def test_slots_are_held_for_the_tenant_and_given_back() -> None:
    slots, one, other = ConcurrencyLimit("things are here", 3, 2, status_code=503), session(), session()
    with one.acquire_slot(slots), one.acquire_slot(slots):
        with (
            pytest.raises(Exception, match=r"^503: Limit reached: 2 things are here for this tenant"),
            one.acquire_slot(slots),
        ):
            pass
        with (
            other.acquire_slot(slots),
            pytest.raises(Exception, match=r"^503: Limit reached: 3 things are here"),
            session().acquire_slot(slots),
        ):
            pass
        assert slots.active == 2
    assert slots.active == 0
