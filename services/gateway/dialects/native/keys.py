"""Routes /keys and /me: the API keys of the tenant, and the key of the request."""

from datetime import UTC

from litestar import Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from libs.model.requests.base import Page
from libs.model.requests.errors import ErrorCode, RequestError
from libs.model.requests.messages import CreateKey, ListKeys
from libs.model.tenancy import Key, KeyCreated, Principal, Scope
from services.gateway.access.authenticator import requires_scope
from services.gateway.dialects.native import parameters
from services.gateway.dialects.native.schemas import KeyCreate
from services.gateway.session import TenantSession

TAGS = ["Keys"]


@post(
    "/keys",
    guards=[requires_scope(Scope.ADMIN)],
    tags=TAGS,
    summary="Create a key; the response contains the key, once",
)
async def create_key(
    data: JSONBody[KeyCreate],
    session: NamedDependency[TenantSession],
    idempotency_key: parameters.IdempotencyKey = None,
) -> Response[KeyCreated]:
    return await create_key_in_tenant(session, data, idempotency_key, "/api/v2/keys")


async def create_key_in_tenant(
    session: TenantSession, data: KeyCreate, idempotency_key: str | None, at: str
) -> Response[KeyCreated]:
    """Creates a key in the session's tenant; `at` is the path of that tenant's keys."""
    session.check_grantable(data.scopes)
    expires_at = data.expires_at.astimezone(UTC) if data.expires_at else None
    if expires_at is not None and expires_at <= session.now():
        raise RequestError(ErrorCode.INVALID, "must be in the future", "expires_at")
    request = CreateKey(
        name=data.name,
        scopes=data.scopes,
        cidrs=data.cidrs,
        expires_at=expires_at,
        rate=data.rate.to_rate() if data.rate else None,
        idempotency=parameters.make_idempotency(idempotency_key, CreateKey.verb, data),
    )
    key = await session.request(request)
    return Response(key, headers={"Location": f"{at}/{key.id}", "Cache-Control": "no-store"})


@get("/keys", guards=[requires_scope(Scope.ADMIN)], tags=TAGS, summary="List the valid keys, oldest first")
async def list_keys(session: NamedDependency[TenantSession]) -> Page[Key]:
    return Page(items=await session.request(ListKeys()))


@delete(
    "/keys/{key_id:str}",
    guards=[requires_scope(Scope.ADMIN)],
    tags=TAGS,
    summary="Revoke a key with immediate effect",
)
async def delete_key(key_id: FromPath[str], session: NamedDependency[TenantSession]) -> None:
    await session.revoke_key(parameters.require_id(key_id, "key"))


@get("/me", tags=TAGS, summary="Show the key of this request and its tenant")
async def me(principal: NamedDependency[Principal]) -> Principal:
    return principal


HANDLERS = [create_key, list_keys, delete_key, me]
