"""What a caller may not do is refused before anybody is asked."""

from typing import Any

import pytest

from libs.model.ids import new_id
from libs.model.refusal import RefusedError
from libs.model.request import Request
from libs.model.requests import (
    Authenticate,
    ChangeTenant,
    CreateTenant,
    GetTenant,
    ListMonitors,
    ListSealed,
    ListTenants,
)
from libs.model.tenancy import Actor, Principal, Scope
from libs.sealing.sealer import Sealer
from services.gateway.caller import Caller
from services.gateway.denial import DeniedError, Fault
from services.gateway.means import Means
from services.gateway.slots import Slots


def caller(*scopes: Scope, tenant_id: str = "") -> Caller:
    """Returns a caller with a key of `scopes`, who has nobody to ask."""
    nobody: Any = None
    tenant_id = tenant_id or new_id()
    principal = Principal(tenant_id=tenant_id, tenant_name="t", key_id=new_id(), key_name="k", scopes=list(scopes))
    means = Means(bus=nobody, authority=nobody, streams=nobody, clock=nobody, shards=1, sealer=Sealer([]))
    return Caller(means, principal, Actor(), "")


@pytest.mark.parametrize("request_", [ListTenants(limit=1), ListSealed(limit=1), Authenticate(key_sha256="")])
async def test_what_is_about_no_tenant_is_asked_by_operators_and_never_by_accident(request_: Request[Any]) -> None:
    with pytest.raises(DeniedError) as caught:
        await caller(Scope.ADMIN).ask_as_operator(request_)
    assert caught.value.fault is Fault.SCOPE
    asked: Any = request_
    with pytest.raises(TypeError, match="tenant_id"):
        await caller(Scope.OPERATOR).ask(asked)


async def test_what_is_about_one_tenant_is_never_asked_without_naming_it() -> None:
    for request in (ListMonitors(tenant_id=new_id(), limit=1), GetTenant(tenant_id=new_id())):
        with pytest.raises(TypeError, match="ask on its behalf"):
            await caller(Scope.OPERATOR).ask_as_operator(request)


@pytest.mark.parametrize("request_", [CreateTenant(name="mine"), ChangeTenant(monitors_max=None)])
async def test_no_tenant_changes_what_it_may_have(request_: Any) -> None:
    with pytest.raises(DeniedError, match="'operator'"):
        await caller(Scope.ADMIN).ask(request_)


def test_only_an_operator_acts_for_another_tenant() -> None:
    with pytest.raises(DeniedError, match="'operator'"):
        caller(Scope.ADMIN).on_behalf_of(new_id())
    other = new_id()
    acting = caller(Scope.OPERATOR).on_behalf_of(other)
    assert acting.specs.tenant_id == other


@pytest.mark.parametrize(
    ("own", "wanted", "field"),
    [
        *((Scope.ADMIN, [Scope.OPERATOR], "scopes[0]"), (Scope.ADMIN, [Scope.READ, Scope.OPERATOR], "scopes[1]")),
        *((Scope.READ, [Scope.WRITE], "scopes[0]"), (Scope.ADMIN, [Scope.ADMIN], None)),
        *((Scope.OPERATOR, list(Scope), None), (Scope.WRITE, [Scope.READ], None)),
    ],
)
def test_nobody_hands_out_more_than_they_have(own: Scope, wanted: list[Scope], field: str | None) -> None:
    if field is None:
        caller(own).check_grantable(wanted)
        return
    with pytest.raises(RefusedError) as caught:
        caller(own).check_grantable(wanted)
    assert caught.value.refusal.field == field


def test_slots_are_held_for_the_tenant_and_given_back() -> None:
    slots, one, other = Slots("things are here", 3, 2, status_code=503), caller(), caller()
    with one.slot(slots), one.slot(slots):
        with pytest.raises(Exception, match=r"^503: 2 things are here for this tenant already"), one.slot(slots):
            pass
        with (
            other.slot(slots),
            pytest.raises(Exception, match=r"^503: 3 things are here already"),
            caller().slot(slots),
        ):
            pass
        assert slots.taken == 2
    assert slots.taken == 0
