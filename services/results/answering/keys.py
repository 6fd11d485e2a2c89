"""Keys: made, listed, revoked, and recognised."""

from datetime import UTC, datetime, timedelta

import msgspec
import structlog

from libs.bus import subjects
from libs.bus.bus import Bus
from libs.bus.errors import BusError
from libs.model.ids import is_id, new_id
from libs.model.refusal import RefusalCode, RefusedError
from libs.model.requests import Authenticate, CreateKey, DeleteKey, ListKeys
from libs.model.tenancy import Actor, AuditAction, Key, KeyCreated, Principal, Quota, Scope, digest, new_secret
from libs.process.service import Clock
from libs.store import audit, keys, locks
from libs.store.audit import Deed
from libs.store.driver import Db
from libs.store.pool import Store
from services.results.answering import cursors, fitting
from services.results.answering.idempotency import Claim
from services.results.answering.refusing import NO_KEY, not_found
from services.results.answering.terms import effective

TOUCH_EVERY = timedelta(minutes=1)

_NEVER = datetime.max.replace(tzinfo=UTC)

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Keys:
    """Answers the requests about keys. `quota` is that of tenants without their own."""

    def __init__(self, store: Store, bus: Bus, clock: Clock, quota: Quota) -> None:
        self._store, self._bus, self._clock, self._quota = store, bus, clock, quota

    async def create(self, request: CreateKey) -> KeyCreated:
        fitting.check_key(request.name, request.cidrs, request.rate)
        async with self._store.transaction() as db:
            claim = Claim(db, request.tenant_id, request.verb, request.idempotency)
            if (earlier := await claim.earlier()) is not None:
                detail = f"This Idempotency-Key already made key {_id_in(earlier)}; its secret is shown only once."
                raise RefusedError(RefusalCode.CONFLICT, detail)
            if Scope.OPERATOR in request.scopes and not await self._is_operator(db, request.actor):
                detail = "only an operator can make a key that operates the installation"
                raise RefusedError(RefusalCode.INVALID, detail, "scopes")
            created = await self._add(db, request)
            await claim.keep(msgspec.json.encode({"id": created.id}))
            return created

    async def listed(self, request: ListKeys) -> list[Key]:
        async with self._store.connection() as db:
            return await keys.unrevoked(db, request.tenant_id)

    async def delete(self, request: DeleteKey) -> None:
        """Revokes the key; a gateway that misses the announcement learns it when its own copy grows old."""
        now = self._clock()
        async with self._store.transaction() as db:
            present = {key.id: key for key in await keys.locked(db, request.tenant_id)}
            key = present.get(request.key_id)
            if key is None:
                raise not_found(NO_KEY)
            await self._refuse_last(db, request, key, list(present.values()))
            await keys.revoke(db, request.tenant_id, key.id, now)
            await self._note(db, request, AuditAction.KEY_REVOKED, key)
        try:
            await self._bus.announce(subjects.KEYS_REVOKED, request.key_id.encode())
        except BusError as error:
            log.warning("keys.revocation_not_announced", key=request.key_id, error=str(error))

    async def authenticate(self, request: Authenticate) -> Principal:
        now = self._clock()
        async with self._store.connection() as db:
            bearer = await keys.bearer(db, sha256_of(request.key_sha256), now)
            if bearer is None:
                raise not_found(NO_KEY)
            if bearer.last_used_at is None or bearer.last_used_at + TOUCH_EVERY <= now:
                await keys.touch(db, bearer.principal.key_id, now)
        principal = bearer.principal
        return msgspec.structs.replace(principal, quota=effective(principal.quota, self._quota))

    async def _add(self, db: Db, request: CreateKey) -> KeyCreated:
        given = {name: getattr(request, name) for name in ("name", "scopes", "cidrs", "expires_at", "rate")}
        key, secret = Key(id=new_id(), created_at=self._clock(), **given), new_secret()
        _refuse_beyond_one_list([*await keys.unrevoked(db, request.tenant_id), key])
        await keys.add(db, request.tenant_id, key, sha256_of(digest(secret)))
        await self._note(db, request, AuditAction.KEY_CREATED, key)
        return KeyCreated(id=key.id, key=secret, created_at=key.created_at, **given)

    async def _refuse_last(self, db: Db, request: DeleteKey, key: Key, present: list[Key]) -> None:
        """Leaves a tenant its last administrator and the installation its last operator; the CLI needs neither."""
        now = self._clock()
        if _is_cli(request.actor):
            return
        if is_last_admin(key.id, present, now) and not await self._is_from_elsewhere(db, request):
            raise RefusedError(
                RefusalCode.CONFLICT, "This is the last admin key of the tenant: make another one first."
            )
        if Scope.OPERATOR not in key.scopes or not _works(key, now):
            return
        if not await self._is_operator(db, request.actor):
            raise RefusedError(RefusalCode.CONFLICT, "This key operates the installation: only an operator revokes it.")
        await locks.hold(db, locks.Lock.OPERATORS)
        if not await keys.has_other_operator(db, key.id, now):
            raise RefusedError(RefusalCode.CONFLICT, "This is the last operator key: make another one first.")

    async def _is_from_elsewhere(self, db: Db, request: DeleteKey) -> bool:
        """Tells whether an operator with a key of another tenant asks."""
        if not await self._is_operator(db, request.actor):
            return False
        return await keys.tenant(db, request.actor.key_id or "") != request.tenant_id

    async def _is_operator(self, db: Db, actor: Actor) -> bool:
        if actor.key_id is None:
            return _is_cli(actor)
        return is_id(actor.key_id) and await keys.is_operator(db, actor.key_id, self._clock())

    async def _note(self, db: Db, request: CreateKey | DeleteKey, action: AuditAction, key: Key) -> None:
        deed = Deed(action=action, object_id=key.id, object_name=key.name)
        await audit.add(db, request.tenant_id, request.actor, deed, self._clock())


def _refuse_beyond_one_list(present: list[Key]) -> None:
    """Keys are listed in one answer: a tenant that has too many could neither see nor revoke one of them."""
    if len(msgspec.json.encode(present)) > cursors.PAGE_BYTES_MAX:
        detail = "This tenant has as many keys as one list can hold: revoke some that are no longer needed."
        raise RefusedError(RefusalCode.QUOTA, detail)


def is_last_admin(key_id: str, present: list[Key], now: datetime) -> bool:
    """Tells whether nobody could administer the tenant any more without this key."""
    admins = [key.id for key in present if {Scope.ADMIN, Scope.OPERATOR} & set(key.scopes) and _works(key, now)]
    return admins == [key_id]


def sha256_of(text: str) -> bytes:
    """Returns the digest that `text` writes in hex; what is none is nobody's."""
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise not_found(NO_KEY) from error


def _is_cli(actor: Actor) -> bool:
    """Tells whether whoever operates the installation asks. A request that says nothing about its actor is not theirs."""
    return actor.key_id is None and actor.via == "cli"


def _works(key: Key, now: datetime) -> bool:
    return (key.expires_at or _NEVER) > now


def _id_in(reply: msgspec.Raw) -> str:
    found = msgspec.json.decode(reply, type=dict[str, str]).get("id", "")
    return found if is_id(found) else "?"
