"""Routes /tenants (operators only) and /audit: tenants, their quotas, their keys and the audit log."""

from typing import Annotated, Any

import msgspec
from litestar import Response, delete, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import UNSET, Meta, UnsetType

from libs.model.fields.validation import check_name
from libs.model.interval import INTERVALS_S
from libs.model.requests.base import Page
from libs.model.requests.messages import ChangeTenant, CreateTenant, GetTenant, ListAudit, ListKeys, ListTenants
from libs.model.tenancy import AuditEntry, Key, KeyCreated, Scope, Tenant
from services.gateway.access.authenticator import requires_scope
from services.gateway.dialects.native import keys, parameters
from services.gateway.dialects.native.schemas import KeyCreate, Name, RateGiven
from services.gateway.session import TenantSession

TAGS = ["Tenants"]
AUDIT_TAGS = ["Audit"]
OPERATOR_ONLY = [requires_scope(Scope.OPERATOR)]

MonitorsMax = Annotated[int, Meta(ge=0, description="Maximum number of monitors.", examples=[1000])]
IntervalMin = Annotated[
    int,
    Meta(description="Shortest allowed check interval, in seconds.", extra_json_schema={"enum": list(INTERVALS_S)}),
]


class TenantCreate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tenant to create. Null or omitted limits are those of the settings."""

    name: Name
    rate: RateGiven | None = None
    monitors_max: MonitorsMax | None = None
    interval_s_min: IntervalMin | None = None

    def __post_init__(self) -> None:
        check_name(self.name)
        _check_interval_min(self.interval_s_min)


class TenantPatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fields of a tenant to change; null restores the default of the settings."""

    name: Name | UnsetType = UNSET
    rate: RateGiven | UnsetType | None = UNSET
    monitors_max: MonitorsMax | UnsetType | None = UNSET
    interval_s_min: IntervalMin | UnsetType | None = UNSET

    def __post_init__(self) -> None:
        if self.name is not UNSET:
            check_name(self.name)
        _check_interval_min(self.interval_s_min)


def _check_interval_min(interval_s_min: int | UnsetType | None) -> None:
    if interval_s_min not in {None, UNSET, *INTERVALS_S}:
        raise ValueError(f"interval_s_min: must be one of {', '.join(map(str, INTERVALS_S))}")


def _to_request(data: TenantCreate | TenantPatch) -> dict[str, Any]:
    rate = data.rate.to_rate() if isinstance(data.rate, RateGiven) else data.rate
    return msgspec.structs.asdict(data) | {"rate": rate}


@post("/tenants", guards=OPERATOR_ONLY, tags=TAGS, summary="Create a tenant")
async def create_tenant(data: JSONBody[TenantCreate], session: NamedDependency[TenantSession]) -> Response[Tenant]:
    created = await session.request(CreateTenant(**_to_request(data)))
    return Response(created, headers={"Location": f"/api/v2/tenants/{created.id}"})


@get("/tenants", guards=OPERATOR_ONLY, tags=TAGS, summary="List tenants, oldest first")
async def list_tenants(
    session: NamedDependency[TenantSession],
    limit: parameters.Limit = parameters.LIMIT_DEFAULT,
    cursor: parameters.Cursor = None,
) -> Page[Tenant]:
    return await session.request_as_operator(ListTenants(limit=limit, cursor=cursor))


@get("/tenants/{tenant_id:str}", guards=OPERATOR_ONLY, tags=TAGS, summary="Show a tenant")
async def get_tenant(tenant_id: FromPath[str], session: NamedDependency[TenantSession]) -> Tenant:
    return await _tenant_session(session, tenant_id).request(GetTenant())


@patch("/tenants/{tenant_id:str}", guards=OPERATOR_ONLY, tags=TAGS, summary="Change the name or the quotas of a tenant")
async def change_tenant(
    tenant_id: FromPath[str], data: JSONBody[TenantPatch], session: NamedDependency[TenantSession]
) -> Tenant:
    return await _tenant_session(session, tenant_id).request(ChangeTenant(**_to_request(data)))


@post(
    "/tenants/{tenant_id:str}/keys",
    guards=OPERATOR_ONLY,
    tags=TAGS,
    summary="Create a key of a tenant; the response contains the key, once",
)
async def create_tenant_key(
    tenant_id: FromPath[str],
    data: JSONBody[KeyCreate],
    session: NamedDependency[TenantSession],
    idempotency_key: parameters.IdempotencyKey = None,
) -> Response[KeyCreated]:
    return await keys.create_key_in_tenant(
        _tenant_session(session, tenant_id), data, idempotency_key, f"/api/v2/tenants/{tenant_id}/keys"
    )


@get(
    "/tenants/{tenant_id:str}/keys", guards=OPERATOR_ONLY, tags=TAGS, summary="List the keys of a tenant, oldest first"
)
async def list_tenant_keys(tenant_id: FromPath[str], session: NamedDependency[TenantSession]) -> Page[Key]:
    return Page(items=await (await _existing_tenant_session(session, tenant_id)).request(ListKeys()))


@delete(
    "/tenants/{tenant_id:str}/keys/{key_id:str}", guards=OPERATOR_ONLY, tags=TAGS, summary="Revoke a key of a tenant"
)
async def delete_tenant_key(
    tenant_id: FromPath[str], key_id: FromPath[str], session: NamedDependency[TenantSession]
) -> None:
    await _tenant_session(session, tenant_id).revoke_key(parameters.require_id(key_id, "key"))


@get(
    "/tenants/{tenant_id:str}/audit",
    guards=OPERATOR_ONLY,
    tags=AUDIT_TAGS,
    summary="List the changes in a tenant, newest first",
)
async def list_tenant_audit(
    tenant_id: FromPath[str],
    session: NamedDependency[TenantSession],
    limit: parameters.Limit = parameters.LIMIT_DEFAULT,
    cursor: parameters.Cursor = None,
) -> Page[AuditEntry]:
    return await (await _existing_tenant_session(session, tenant_id)).request(ListAudit(limit=limit, cursor=cursor))


@get(
    "/audit",
    guards=[requires_scope(Scope.ADMIN)],
    tags=AUDIT_TAGS,
    summary="List the changes in this tenant, newest first",
)
async def list_audit(
    session: NamedDependency[TenantSession],
    limit: parameters.Limit = parameters.LIMIT_DEFAULT,
    cursor: parameters.Cursor = None,
) -> Page[AuditEntry]:
    return await session.request(ListAudit(limit=limit, cursor=cursor))


def _tenant_session(session: TenantSession, tenant_id: str) -> TenantSession:
    return session.for_tenant(parameters.require_id(tenant_id, "tenant"))


async def _existing_tenant_session(session: TenantSession, tenant_id: str) -> TenantSession:
    """Raises 404 for an unknown tenant, where a list would be empty."""
    other = _tenant_session(session, tenant_id)
    await other.request(GetTenant())
    return other


HANDLERS = [
    create_tenant,
    list_tenants,
    get_tenant,
    change_tenant,
    create_tenant_key,
    list_tenant_keys,
    delete_tenant_key,
    list_tenant_audit,
    list_audit,
]
