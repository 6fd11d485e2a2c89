"""/keys and /me: who may ask."""

from datetime import UTC

from litestar import Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from libs.model.refusal import RefusalCode, RefusedError
from libs.model.request import Page
from libs.model.requests import CreateKey, ListKeys
from libs.model.tenancy import Key, KeyCreated, Principal, Scope
from services.gateway.auth import needs
from services.gateway.caller import Caller
from services.gateway.native import query
from services.gateway.native.shapes import KeyCreate

TAGS = ["keys"]


@post("/keys", guards=[needs(Scope.ADMIN)], tags=TAGS, summary="Create a key, shown this once")
async def create_key(
    data: JSONBody[KeyCreate],
    caller: NamedDependency[Caller],
    idempotency_key: query.IdempotencyKey = None,
) -> Response[KeyCreated]:
    caller.check_grantable(data.scopes)
    expires_at = data.expires_at.astimezone(UTC) if data.expires_at else None
    if expires_at is not None and expires_at <= caller.now():
        raise RefusedError(RefusalCode.INVALID, "must be in the future", "expires_at")
    request = CreateKey(
        name=data.name,
        scopes=data.scopes,
        cidrs=data.cidrs,
        expires_at=expires_at,
        rate=data.rate.rate() if data.rate else None,
        idempotency=query.idempotency(idempotency_key, CreateKey.verb, data),
    )
    created = await caller.ask(request)
    return Response(created, headers={"Location": f"/api/v2/keys/{created.id}", "Cache-Control": "no-store"})


@get("/keys", guards=[needs(Scope.ADMIN)], tags=TAGS, summary="List the keys that work, oldest first")
async def list_keys(caller: NamedDependency[Caller]) -> Page[Key]:
    return Page(items=await caller.ask(ListKeys()))


@delete("/keys/{key_id:str}", guards=[needs(Scope.ADMIN)], tags=TAGS, summary="Revoke a key, at once and everywhere")
async def delete_key(key_id: FromPath[str], caller: NamedDependency[Caller]) -> None:
    await caller.revoke_key(query.existing_id(key_id, "key"))


@get("/me", tags=TAGS, summary="Show who asks: the key and its tenant")
async def me(principal: NamedDependency[Principal]) -> Principal:
    return principal


HANDLERS = [create_key, list_keys, delete_key, me]
