"""Tenants and keys: made, listed, revoked, and recognised."""

from datetime import UTC, datetime, timedelta

import msgspec
import structlog

from libs.bus import subjects
from libs.bus.bus import Bus
from libs.bus.errors import BusError
from libs.model.ids import is_id, new_id
from libs.model.refusal import RefusalCode, RefusedError
from libs.model.requests import Authenticate, Bootstrap, CreateKey, DeleteKey, ListKeys
from libs.model.tenancy import Key, KeyCreated, Principal, Scope, digest, new_secret
from libs.process.service import Clock
from libs.store import keys, locks, tenants
from libs.store.driver import Db
from libs.store.pool import Store
from services.results.answering.idempotency import Claim
from services.results.answering.refusing import NO_KEY, not_found

TOUCH_EVERY = timedelta(minutes=1)

log: structlog.stdlib.BoundLogger = structlog.get_logger()


class Keys:
    """Answers the requests about tenants and keys."""

    def __init__(self, store: Store, bus: Bus, clock: Clock) -> None:
        self._store, self._bus, self._clock = store, bus, clock

    async def bootstrap(self, request: Bootstrap) -> bool:
        """Makes the first tenant and its key; of many who ask at once with a key each, one is told True."""
        sha256 = _sha256(request.key_sha256)
        async with self._store.transaction() as db:
            await locks.hold(db, locks.Lock.BOOTSTRAP)
            if await tenants.exist(db):
                return await keys.bearer(db, sha256, self._clock()) is not None
            tenant_id = new_id()
            await tenants.add(db, tenant_id, request.tenant_name)
            admin = CreateKey(tenant_id=tenant_id, name="admin", scopes=[Scope.ADMIN])
            await keys.add(db, tenant_id, self._key(admin), sha256)
            return True

    async def create(self, request: CreateKey) -> KeyCreated:
        async with self._store.transaction() as db:
            claim = Claim(db, request.tenant_id, request.verb, request.idempotency)
            if (earlier := await claim.earlier()) is not None:
                detail = f"This Idempotency-Key already made key {_id_in(earlier)}; its secret is shown only once."
                raise RefusedError(RefusalCode.CONFLICT, detail)
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
            present = await keys.locked(db, request.tenant_id)
            if request.key_id not in {key.id for key in present}:
                raise not_found(NO_KEY)
            if is_last_admin(request.key_id, present, now):
                detail = "This is the last admin key of the tenant: make another one first."
                raise RefusedError(RefusalCode.CONFLICT, detail)
            await keys.revoke(db, request.tenant_id, request.key_id, now)
        try:
            await self._bus.announce(subjects.KEYS_REVOKED, request.key_id.encode())
        except BusError as error:
            log.warning("keys.revocation_not_announced", key=request.key_id, error=str(error))

    async def authenticate(self, request: Authenticate) -> Principal:
        now = self._clock()
        async with self._store.connection() as db:
            bearer = await keys.bearer(db, _sha256(request.key_sha256), now)
            if bearer is None:
                raise not_found(NO_KEY)
            if bearer.last_used_at is None or bearer.last_used_at + TOUCH_EVERY <= now:
                await keys.touch(db, bearer.principal.key_id, now)
        return bearer.principal

    def _key(self, request: CreateKey) -> Key:
        return Key(
            id=new_id(),
            name=request.name,
            scopes=request.scopes,
            cidrs=request.cidrs,
            created_at=self._clock(),
            expires_at=request.expires_at,
        )

    async def _add(self, db: Db, request: CreateKey) -> KeyCreated:
        key, secret = self._key(request), new_secret()
        await keys.add(db, request.tenant_id, key, _sha256(digest(secret)))
        return KeyCreated(
            id=key.id,
            key=secret,
            name=key.name,
            scopes=key.scopes,
            cidrs=key.cidrs,
            created_at=key.created_at,
            expires_at=key.expires_at,
        )


def is_last_admin(key_id: str, present: list[Key], now: datetime) -> bool:
    """Tells whether nobody could administer the tenant any more without this key."""
    admins = [key.id for key in present if Scope.ADMIN in key.scopes and (key.expires_at or _NEVER) > now]
    return admins == [key_id]


_NEVER = datetime.max.replace(tzinfo=UTC)


def _sha256(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError as error:
        raise not_found(NO_KEY) from error


def _id_in(reply: msgspec.Raw) -> str:
    found = msgspec.json.decode(reply, type=dict[str, str]).get("id", "")
    return found if is_id(found) else "?"
