"""Request handlers for API keys: create, list, revoke, authenticate."""

from datetime import UTC, datetime, timedelta

import msgspec
import structlog

from libs.bus import subjects
from libs.bus.connection import Bus
from libs.bus.errors import BusError
from libs.model.ids import is_id, new_id
from libs.model.requests.errors import ErrorCode, RequestError
from libs.model.requests.messages import Authenticate, CreateKey, DeleteKey, ListKeys
from libs.model.tenancy import Actor, AuditAction, Key, KeyCreated, Principal, Quota, Scope, api_key_digest, new_api_key
from libs.process.service import Clock
from libs.store.core import locks
from libs.store.core.driver import Db
from libs.store.core.pool import Store
from libs.store.tenancy import audit, keys
from libs.store.tenancy.audit import AuditEntryDraft
from services.results import cursors
from services.results.error_mapping import KEY_NOT_FOUND, not_found
from services.results.idempotency import IdempotencyRecord
from services.results.tenancy import validation
from services.results.tenancy.quotas import effective_quota

TOUCH_INTERVAL = timedelta(minutes=1)

_NEVER = datetime.max.replace(tzinfo=UTC)

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class KeyHandlers:
    """Handlers of key requests. `quota` is the default for tenants."""

    def __init__(self, store: Store, bus: Bus, clock: Clock, quota: Quota) -> None:
        self._store, self._bus, self._clock, self._quota = store, bus, clock, quota

    async def create(self, request: CreateKey) -> KeyCreated:
        validation.check_key(request.name, request.cidrs, request.rate)
        async with self._store.transaction() as db:
            claim = IdempotencyRecord(db, request.tenant_id, request.verb, request.idempotency)
            if (earlier := await claim.stored_reply()) is not None:
                detail = f"This Idempotency-Key already created key {_stored_key_id(earlier)}; its secret is shown only once."
                raise RequestError(ErrorCode.CONFLICT, detail)
            if Scope.OPERATOR in request.scopes and not await self._is_operator(db, request.actor):
                detail = "only an operator can create a key with the scope operator"
                raise RequestError(ErrorCode.INVALID, detail, "scopes")
            created = await self._add(db, request)
            await claim.store_reply(msgspec.json.encode({"id": created.id}))
            return created

    async def list_all(self, request: ListKeys) -> list[Key]:
        async with self._store.connection() as db:
            return await keys.list_unrevoked(db, request.tenant_id)

    async def delete(self, request: DeleteKey) -> None:
        """Revokes the key. A gateway that misses the announcement accepts the key until its cache entry expires."""
        now = self._clock()
        async with self._store.transaction() as db:
            present = {key.id: key for key in await keys.list_for_update(db, request.tenant_id)}
            key = present.get(request.key_id)
            if key is None:
                raise not_found(KEY_NOT_FOUND)
            await self._check_revocable(db, request, key, list(present.values()))
            await keys.revoke(db, request.tenant_id, key.id, now)
            await self._audit(db, request, AuditAction.KEY_REVOKED, key)
        try:
            await self._bus.publish_core(subjects.KEYS_REVOKED, request.key_id.encode())
        except BusError as error:
            log.warning("keys.revocation_not_announced", key=request.key_id, error=str(error))

    async def authenticate(self, request: Authenticate) -> Principal:
        now = self._clock()
        async with self._store.connection() as db:
            bearer = await keys.authenticate(db, parse_sha256(request.key_sha256), now)
            if bearer is None:
                raise not_found(KEY_NOT_FOUND)
            if bearer.last_used_at is None or bearer.last_used_at + TOUCH_INTERVAL <= now:
                await keys.mark_used(db, bearer.principal.key_id, now)
        principal = bearer.principal
        return msgspec.structs.replace(principal, quota=effective_quota(principal.quota, self._quota))

    async def _add(self, db: Db, request: CreateKey) -> KeyCreated:
        given = {name: getattr(request, name) for name in ("name", "scopes", "cidrs", "expires_at", "rate")}
        key, secret = Key(id=new_id(), created_at=self._clock(), **given), new_api_key()
        _check_list_size([*await keys.list_unrevoked(db, request.tenant_id), key])
        await keys.add(db, request.tenant_id, key, parse_sha256(api_key_digest(secret)))
        await self._audit(db, request, AuditAction.KEY_CREATED, key)
        return KeyCreated(id=key.id, key=secret, created_at=key.created_at, **given)

    async def _check_revocable(self, db: Db, request: DeleteKey, key: Key, present: list[Key]) -> None:
        """Refuses to revoke the last admin key of a tenant or the last operator key. The CLI may revoke both."""
        now = self._clock()
        if _is_cli(request.actor):
            return
        if is_last_admin(key.id, present, now) and not await self._is_foreign_operator(db, request):
            raise RequestError(
                ErrorCode.CONFLICT, "This is the last admin key of the tenant: create another one first."
            )
        if Scope.OPERATOR not in key.scopes or not _is_active(key, now):
            return
        if not await self._is_operator(db, request.actor):
            raise RequestError(ErrorCode.CONFLICT, "This is an operator key: only an operator can revoke it.")
        await locks.acquire(db, locks.AdvisoryLock.OPERATORS)
        if not await keys.has_other_operator(db, key.id, now):
            raise RequestError(ErrorCode.CONFLICT, "This is the last operator key: create another one first.")

    async def _is_foreign_operator(self, db: Db, request: DeleteKey) -> bool:
        """Returns whether the actor is an operator whose key belongs to another tenant."""
        if not await self._is_operator(db, request.actor):
            return False
        return await keys.get_tenant_id(db, request.actor.key_id or "") != request.tenant_id

    async def _is_operator(self, db: Db, actor: Actor) -> bool:
        if actor.key_id is None:
            return _is_cli(actor)
        return is_id(actor.key_id) and await keys.is_operator(db, actor.key_id, self._clock())

    async def _audit(self, db: Db, request: CreateKey | DeleteKey, action: AuditAction, key: Key) -> None:
        deed = AuditEntryDraft(action=action, object_id=key.id, object_name=key.name)
        await audit.add(db, request.tenant_id, request.actor, deed, self._clock())


def _check_list_size(present: list[Key]) -> None:
    """Refuses more keys than one message can list: a tenant could neither list nor revoke them."""
    if len(msgspec.json.encode(present)) > cursors.PAGE_BYTES_MAX:
        detail = "This tenant has the maximum number of keys: revoke unused ones first."
        raise RequestError(ErrorCode.QUOTA, detail)


def is_last_admin(key_id: str, present: list[Key], now: datetime) -> bool:
    """Returns whether this is the only unexpired key of the tenant that may administer it."""
    admins = [key.id for key in present if {Scope.ADMIN, Scope.OPERATOR} & set(key.scopes) and _is_active(key, now)]
    return admins == [key_id]


def parse_sha256(text: str) -> bytes:
    """Returns the bytes of a hex digest; raises the "no such key" error if `text` is not hex."""
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise not_found(KEY_NOT_FOUND) from error


def _is_cli(actor: Actor) -> bool:
    """Returns whether the actor is the CLI of the installation. An actor without fields is not."""
    return actor.key_id is None and actor.via == "cli"


def _is_active(key: Key, now: datetime) -> bool:
    return (key.expires_at or _NEVER) > now


def _stored_key_id(reply: msgspec.Raw) -> str:
    found = msgspec.json.decode(reply, type=dict[str, str]).get("id", "")
    return found if is_id(found) else "?"
