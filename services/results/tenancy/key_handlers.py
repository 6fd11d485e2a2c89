"""Keys: made, listed, revoked, and recognised."""

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
    """Answers the requests about keys. `quota` is that of tenants without their own."""

    def __init__(self, store: Store, bus: Bus, clock: Clock, quota: Quota) -> None:
        self._store, self._bus, self._clock, self._quota = store, bus, clock, quota

    async def create(self, request: CreateKey) -> KeyCreated:
        validation.check_key(request.name, request.cidrs, request.rate)
        async with self._store.transaction() as db:
            claim = IdempotencyRecord(db, request.tenant_id, request.verb, request.idempotency)
            if (earlier := await claim.stored_reply()) is not None:
                detail = (
                    f"This Idempotency-Key already made key {_stored_key_id(earlier)}; its secret is shown only once."
                )
                raise RequestError(ErrorCode.CONFLICT, detail)
            if Scope.OPERATOR in request.scopes and not await self._is_operator(db, request.actor):
                detail = "only an operator can make a key that operates the installation"
                raise RequestError(ErrorCode.INVALID, detail, "scopes")
            created = await self._add(db, request)
            await claim.store_reply(msgspec.json.encode({"id": created.id}))
            return created

    async def list_all(self, request: ListKeys) -> list[Key]:
        async with self._store.connection() as db:
            return await keys.list_unrevoked(db, request.tenant_id)

    async def delete(self, request: DeleteKey) -> None:
        """Revokes the key; a gateway that misses the announcement learns it when its own copy grows old."""
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
        """Leaves a tenant its last administrator and the installation its last operator; the CLI needs neither."""
        now = self._clock()
        if _is_cli(request.actor):
            return
        if is_last_admin(key.id, present, now) and not await self._is_foreign_operator(db, request):
            raise RequestError(ErrorCode.CONFLICT, "This is the last admin key of the tenant: make another one first.")
        if Scope.OPERATOR not in key.scopes or not _is_active(key, now):
            return
        if not await self._is_operator(db, request.actor):
            raise RequestError(ErrorCode.CONFLICT, "This key operates the installation: only an operator revokes it.")
        await locks.acquire(db, locks.AdvisoryLock.OPERATORS)
        if not await keys.has_other_operator(db, key.id, now):
            raise RequestError(ErrorCode.CONFLICT, "This is the last operator key: make another one first.")

    async def _is_foreign_operator(self, db: Db, request: DeleteKey) -> bool:
        """Tells whether an operator with a key of another tenant asks."""
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
    """Keys are listed in one answer: a tenant that has too many could neither see nor revoke one of them."""
    if len(msgspec.json.encode(present)) > cursors.PAGE_BYTES_MAX:
        detail = "This tenant has as many keys as one list can hold: revoke some that are no longer needed."
        raise RequestError(ErrorCode.QUOTA, detail)


def is_last_admin(key_id: str, present: list[Key], now: datetime) -> bool:
    """Tells whether nobody could administer the tenant any more without this key."""
    admins = [key.id for key in present if {Scope.ADMIN, Scope.OPERATOR} & set(key.scopes) and _is_active(key, now)]
    return admins == [key_id]


def parse_sha256(text: str) -> bytes:
    """Returns the digest that `text` writes in hex; what is none is nobody's."""
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise not_found(KEY_NOT_FOUND) from error


def _is_cli(actor: Actor) -> bool:
    """Tells whether whoever operates the installation asks. A request that says nothing about its actor is not theirs."""
    return actor.key_id is None and actor.via == "cli"


def _is_active(key: Key, now: datetime) -> bool:
    return (key.expires_at or _NEVER) > now


def _stored_key_id(reply: msgspec.Raw) -> str:
    found = msgspec.json.decode(reply, type=dict[str, str]).get("id", "")
    return found if is_id(found) else "?"
