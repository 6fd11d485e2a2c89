"""Request handlers for assets: objects of compatible APIs, each with its monitors."""

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from libs.model.asset import Asset, CreateAsset, DeleteAsset, ListAssets
from libs.model.ids import new_id
from libs.model.requests.base import Page, TenantCommand
from libs.model.requests.errors import ErrorCode, RequestError
from libs.model.tenancy import AuditAction
from libs.process.service import Clock
from libs.store.core import locks
from libs.store.core.driver import Db
from libs.store.core.pool import Store
from libs.store.monitors import assets, monitors
from libs.store.monitors.assets import AssetRow, AssetType
from libs.store.tenancy import audit, tenants
from libs.store.tenancy.audit import AuditEntryDraft
from services.results import cursors
from services.results.error_mapping import not_found
from services.results.monitors.commands import MonitorCommands
from services.results.monitors.monitor_handlers import redact_view
from services.results.tenancy.quotas import QuotaPolicy, allowed_interval_s, effective_quota

_ASSET_NOT_FOUND = "There is no asset with this number."
_DUPLICATE = "An asset with this identity already exists."


class _AssetCursor(msgspec.Struct, frozen=True):
    """Position after the last asset of a page."""

    number: int


class AssetHandlers:
    """Handlers of asset requests. `on_commit` is called after a commit that may have added messages."""

    def __init__(self, store: Store, clock: Clock, policy: QuotaPolicy, on_commit: Callable[[], None]) -> None:
        self._store, self._clock, self._policy, self._on_commit = store, clock, policy, on_commit

    async def create(self, request: CreateAsset) -> Asset:
        sort = _asset_type(request)
        async with self._transaction() as db:
            number = await assets.next_number(db, sort)
            asset = AssetRow(id=new_id(), number=number, identity=request.identity)
            # Before the monitors: of two concurrent creates of one identity the second waits here, holding no other lock.
            if not await assets.add(db, sort, asset, request.fields, self._clock()):
                raise RequestError(ErrorCode.CONFLICT, _DUPLICATE)
            await self._add_monitors(db, request, asset.id, {sort.name: str(number)})
            await self._audit(db, request, AuditAction.ASSET_CREATED, asset)
            (created,) = await assets.page(db, sort, number - 1, 1)
        return _redact_asset(created)

    async def page(self, request: ListAssets) -> Page[Asset]:
        async with self._store.connection() as db:
            found = await assets.page(db, _asset_type(request), request.after, request.limit + 1)
        page = cursors.paginate(
            [_redact_asset(asset) for asset in found], request.limit, lambda asset: _AssetCursor(asset.number)
        )
        return page if page.next_cursor is None else replace(page, next_cursor=str(page.items[-1].number))

    async def delete(self, request: DeleteAsset) -> None:
        async with self._transaction() as db:
            await locks.acquire(db, locks.AdvisoryLock.MONITOR_STATE)
            asset = await assets.get_for_update(db, _asset_type(request), request.number)
            if asset is None:
                raise not_found(_ASSET_NOT_FOUND)
            commands = self._commands(db, request)
            for monitor_id in await assets.get_monitor_ids_for_update(db, asset.id):
                monitor = await monitors.get_for_update(db, request.tenant_id, monitor_id)
                if monitor is not None:
                    await commands.remove(monitor)
            await self._audit(db, request, AuditAction.ASSET_DELETED, asset)
            await assets.delete(db, request.tenant_id, asset.id)

    async def _add_monitors(self, db: Db, request: CreateAsset, asset_id: str, labels: dict[str, str]) -> None:
        commands, monitor_ids = self._commands(db, request), {}
        quota = effective_quota(await tenants.get_quota(db, request.tenant_id), self._policy.quota)
        for part, draft in request.parts.items():
            interval_s = allowed_interval_s(draft.interval_s, quota)
            monitor = await commands.add(replace(draft, labels=draft.labels | labels, interval_s=interval_s))
            monitor_ids[part] = monitor.id
        await assets.add_parts(db, asset_id, monitor_ids)

    async def _audit(self, db: Db, request: CreateAsset | DeleteAsset, action: AuditAction, asset: AssetRow) -> None:
        object_id = f"{_asset_type(request).name}/{asset.number}"
        entry = AuditEntryDraft(action=action, object_id=object_id, object_name=asset.identity)
        await audit.add(db, request.tenant_id, request.actor, entry, self._clock())

    @contextlib.asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Db]:
        """Transaction that calls `on_commit` after its commit."""
        async with self._store.transaction() as db:
            yield db
        self._on_commit()

    def _commands(self, db: Db, command: TenantCommand[Any]) -> MonitorCommands:
        return MonitorCommands(db, command, self._policy, self._clock())


def _asset_type(request: CreateAsset | ListAssets | DeleteAsset) -> AssetType:
    return AssetType(tenant_id=request.tenant_id, dialect=request.dialect, type=request.sort)


def _redact_asset(asset: Asset) -> Asset:
    return replace(asset, parts={part: redact_view(view) for part, view in asset.parts.items()})
