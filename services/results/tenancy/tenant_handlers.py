"""Request handlers for tenants, including the bootstrap of the first one."""

from collections.abc import Awaitable

import msgspec
from msgspec import UNSET

from libs.model.ids import new_id
from libs.model.requests.base import Page
from libs.model.requests.errors import ErrorCode, RequestError
from libs.model.requests.messages import Bootstrap, ChangeTenant, CreateTenant, GetTenant, ListTenants
from libs.model.tenancy import Actor, AuditAction, Key, Quota, Scope, Tenant
from libs.process.service import Clock
from libs.store.core import locks
from libs.store.core.driver import Db
from libs.store.core.errors import DuplicateError
from libs.store.core.pool import Store
from libs.store.tenancy import audit, keys, tenants
from libs.store.tenancy.audit import AuditEntryDraft
from services.results import cursors
from services.results.error_mapping import TENANT_NOT_FOUND, not_found
from services.results.tenancy import validation
from services.results.tenancy.key_handlers import parse_sha256

_CLI_ACTOR = Actor(via="cli")
_FIELDS = ("name", "rate", "monitors_max", "interval_s_min")


class _TenantCursor(msgspec.Struct, frozen=True):
    """Position after the last tenant of a page."""

    number: cursors.CursorNumber


class TenantHandlers:
    """Handlers of tenant requests."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    async def bootstrap(self, request: Bootstrap) -> bool:
        """Creates the first tenant with its key; returns whether the key is valid afterwards.

        Of concurrent calls with different keys one returns True, and so does a repeat of it.
        """
        sha256 = parse_sha256(request.key_sha256)
        validation.check_name(request.tenant_name, "tenant_name")
        async with self._store.transaction() as db:
            await locks.acquire(db, locks.AdvisoryLock.BOOTSTRAP)
            if await tenants.any_exist(db):
                return await keys.authenticate(db, sha256, self._clock()) is not None
            tenant_id = new_id()
            await tenants.add(db, tenant_id, request.tenant_name)
            await self._audit(db, tenant_id, _CLI_ACTOR, _created_entry(tenant_id, request.tenant_name))
            await self._add_first_key(db, tenant_id, sha256)
            return True

    async def create(self, request: CreateTenant) -> Tenant:
        validation.check_tenant(request.name, request.rate, request.monitors_max, request.interval_s_min)
        quota = Quota(monitors_max=request.monitors_max, interval_s_min=request.interval_s_min)
        tenant_id = new_id()
        try:
            async with self._store.transaction() as db:
                await tenants.add(db, tenant_id, request.name, request.rate, quota)
                await self._audit(db, tenant_id, request.actor, _created_entry(tenant_id, request.name))
                return await _require(tenants.get(db, tenant_id))
        except DuplicateError as error:
            raise _duplicate_name() from error

    async def change(self, request: ChangeTenant) -> Tenant:
        named = {name: value for name in _FIELDS if (value := getattr(request, name)) is not UNSET}
        try:
            async with self._store.transaction() as db:
                old = await _require(tenants.get_for_update(db, request.tenant_id))
                new = msgspec.structs.replace(old, **named)
                validation.check_tenant(new.name, new.rate, new.monitors_max, new.interval_s_min)
                await self._replace(db, request.actor, old, new)
                return new
        except DuplicateError as error:
            raise _duplicate_name() from error

    async def get(self, request: GetTenant) -> Tenant:
        async with self._store.connection() as db:
            return await _require(tenants.get(db, request.tenant_id))

    async def page(self, request: ListTenants) -> Page[Tenant]:
        after = 0 if request.cursor is None else cursors.decode(request.cursor, _TenantCursor).number
        async with self._store.connection() as db:
            if request.name is not None:
                found = await tenants.get_by_name(db, request.name)
                return Page(items=[] if found is None else [found])
            items = await tenants.page(db, after, request.limit + 1)
        return cursors.paginate(items, request.limit, lambda tenant: _TenantCursor(tenant.number))

    async def _add_first_key(self, db: Db, tenant_id: str, sha256: bytes) -> None:
        scopes = [Scope.ADMIN, Scope.OPERATOR]
        key = Key(id=new_id(), name="admin", scopes=scopes, cidrs=[], created_at=self._clock())
        await keys.add(db, tenant_id, key, sha256)
        deed = AuditEntryDraft(action=AuditAction.KEY_CREATED, object_id=key.id, object_name=key.name)
        await self._audit(db, tenant_id, _CLI_ACTOR, deed)

    async def _replace(self, db: Db, actor: Actor, old: Tenant, new: Tenant) -> None:
        changed = [name for name in _FIELDS if getattr(old, name) != getattr(new, name)]
        if not changed:
            return
        await tenants.replace(db, new)
        deed = AuditEntryDraft(
            action=AuditAction.TENANT_CHANGED, object_id=new.id, object_name=new.name, changed=changed
        )
        await self._audit(db, new.id, actor, deed)

    async def _audit(self, db: Db, tenant_id: str, actor: Actor, deed: AuditEntryDraft) -> None:
        await audit.add(db, tenant_id, actor, deed, self._clock())


def _created_entry(tenant_id: str, name: str) -> AuditEntryDraft:
    return AuditEntryDraft(action=AuditAction.TENANT_CREATED, object_id=tenant_id, object_name=name)


def _duplicate_name() -> RequestError:
    return RequestError(ErrorCode.CONFLICT, "There is a tenant of this name already.", "name")


async def _require(tenant: Awaitable[Tenant | None]) -> Tenant:
    found = await tenant
    if found is None:
        raise not_found(TENANT_NOT_FOUND)
    return found
