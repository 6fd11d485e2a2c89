"""Tenants: the first one, and those that operators make."""

from collections.abc import Awaitable

import msgspec
from msgspec import UNSET

from libs.model.ids import new_id
from libs.model.refusal import RefusalCode, RefusedError
from libs.model.request import Page
from libs.model.requests import Bootstrap, ChangeTenant, CreateTenant, GetTenant, ListTenants
from libs.model.tenancy import Actor, AuditAction, Key, Quota, Scope, Tenant
from libs.process.service import Clock
from libs.store import audit, keys, locks, tenants
from libs.store.audit import Deed
from libs.store.driver import Db
from libs.store.errors import DuplicateError
from libs.store.pool import Store
from services.results.answering import cursors, fitting
from services.results.answering.keys import sha256_of
from services.results.answering.refusing import NO_TENANT, not_found

_FIRST = Actor(via="cli")
_FIELDS = ("name", "rate", "monitors_max", "interval_s_min")


class _Place(msgspec.Struct, frozen=True):
    """Where a page of tenants ended."""

    number: cursors.Number


class Tenants:
    """Answers the requests about tenants."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    async def bootstrap(self, request: Bootstrap) -> bool:
        """Makes the first tenant and its key; of many who ask at once with a key each, one is told True."""
        sha256 = sha256_of(request.key_sha256)
        fitting.check_name(request.tenant_name, "tenant_name")
        async with self._store.transaction() as db:
            await locks.hold(db, locks.Lock.BOOTSTRAP)
            if await tenants.exist(db):
                return await keys.bearer(db, sha256, self._clock()) is not None
            tenant_id = new_id()
            await tenants.add(db, tenant_id, request.tenant_name)
            await self._note(db, tenant_id, _FIRST, _created(tenant_id, request.tenant_name))
            await self._add_first_key(db, tenant_id, sha256)
            return True

    async def create(self, request: CreateTenant) -> Tenant:
        fitting.check_tenant(request.name, request.rate, request.monitors_max, request.interval_s_min)
        quota = Quota(monitors_max=request.monitors_max, interval_s_min=request.interval_s_min)
        tenant_id = new_id()
        try:
            async with self._store.transaction() as db:
                await tenants.add(db, tenant_id, request.name, request.rate, quota)
                await self._note(db, tenant_id, request.actor, _created(tenant_id, request.name))
                return await _found(tenants.get(db, tenant_id))
        except DuplicateError as error:
            raise _name_taken() from error

    async def change(self, request: ChangeTenant) -> Tenant:
        named = {name: value for name in _FIELDS if (value := getattr(request, name)) is not UNSET}
        try:
            async with self._store.transaction() as db:
                old = await _found(tenants.locked(db, request.tenant_id))
                new = msgspec.structs.replace(old, **named)
                fitting.check_tenant(new.name, new.rate, new.monitors_max, new.interval_s_min)
                await self._replace(db, request.actor, old, new)
                return new
        except DuplicateError as error:
            raise _name_taken() from error

    async def get(self, request: GetTenant) -> Tenant:
        async with self._store.connection() as db:
            return await _found(tenants.get(db, request.tenant_id))

    async def page(self, request: ListTenants) -> Page[Tenant]:
        after = 0 if request.cursor is None else cursors.decode(request.cursor, _Place).number
        async with self._store.connection() as db:
            if request.name is not None:
                found = await tenants.named(db, request.name)
                return Page(items=[] if found is None else [found])
            items = await tenants.page(db, after, request.limit + 1)
        return cursors.cut(items, request.limit, lambda tenant: _Place(tenant.number))

    async def _add_first_key(self, db: Db, tenant_id: str, sha256: bytes) -> None:
        scopes = [Scope.ADMIN, Scope.OPERATOR]
        key = Key(id=new_id(), name="admin", scopes=scopes, cidrs=[], created_at=self._clock())
        await keys.add(db, tenant_id, key, sha256)
        deed = Deed(action=AuditAction.KEY_CREATED, object_id=key.id, object_name=key.name)
        await self._note(db, tenant_id, _FIRST, deed)

    async def _replace(self, db: Db, actor: Actor, old: Tenant, new: Tenant) -> None:
        changed = [name for name in _FIELDS if getattr(old, name) != getattr(new, name)]
        if not changed:
            return
        await tenants.replace(db, new)
        deed = Deed(action=AuditAction.TENANT_CHANGED, object_id=new.id, object_name=new.name, changed=changed)
        await self._note(db, new.id, actor, deed)

    async def _note(self, db: Db, tenant_id: str, actor: Actor, deed: Deed) -> None:
        await audit.add(db, tenant_id, actor, deed, self._clock())


def _created(tenant_id: str, name: str) -> Deed:
    return Deed(action=AuditAction.TENANT_CREATED, object_id=tenant_id, object_name=name)


def _name_taken() -> RefusedError:
    return RefusedError(RefusalCode.CONFLICT, "There is a tenant of this name already.", "name")


async def _found(tenant: Awaitable[Tenant | None]) -> Tenant:
    found = await tenant
    if found is None:
        raise not_found(NO_TENANT)
    return found
