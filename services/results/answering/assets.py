"""Assets: created with the monitors that they imply, listed, and deleted with what is left of them."""

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
from msgspec.structs import replace

from libs.model.asset import Asset, CreateAsset, DeleteAsset, ListAssets
from libs.model.ids import new_id
from libs.model.refusal import RefusalCode, RefusedError
from libs.model.request import Command, Page
from libs.model.tenancy import AuditAction
from libs.process.service import Clock
from libs.store import assets, audit, locks, monitors, tenants
from libs.store.assets import Sort, Stored
from libs.store.audit import Deed
from libs.store.driver import Db
from libs.store.pool import Store
from services.results.answering import cursors
from services.results.answering.monitoring import Monitoring
from services.results.answering.monitors import shown
from services.results.answering.refusing import not_found
from services.results.answering.terms import Terms, allowed_interval_s, effective

_NO_ASSET = "There is no asset of this number."
_CONFLICT = "There is such an asset already."


class _Place(msgspec.Struct, frozen=True):
    """Where a page of assets ended."""

    number: int


class Assets:
    """Answers the requests about assets. `on_commit` is called when there may be something to publish."""

    def __init__(self, store: Store, clock: Clock, terms: Terms, on_commit: Callable[[], None]) -> None:
        self._store, self._clock, self._terms, self._on_commit = store, clock, terms, on_commit

    async def create(self, request: CreateAsset) -> Asset:
        sort = _sort(request)
        async with self._command() as db:
            number = await assets.next_number(db, sort)
            asset = Stored(id=new_id(), number=number, identity=request.identity)
            # Before the monitors: of two who race for an identity, the second waits here, and takes up nothing else.
            if not await assets.add(db, sort, asset, request.fields, self._clock()):
                raise RefusedError(RefusalCode.CONFLICT, _CONFLICT)
            await self._add_parts(db, request, asset.id, {sort.name: str(number)})
            await self._note(db, request, AuditAction.ASSET_CREATED, asset)
            (created,) = await assets.page(db, sort, number - 1, 1)
        return _shown(created)

    async def page(self, request: ListAssets) -> Page[Asset]:
        async with self._store.connection() as db:
            found = await assets.page(db, _sort(request), request.after, request.limit + 1)
        page = cursors.cut([_shown(asset) for asset in found], request.limit, lambda asset: _Place(asset.number))
        return page if page.next_cursor is None else replace(page, next_cursor=str(page.items[-1].number))

    async def delete(self, request: DeleteAsset) -> None:
        async with self._command() as db:
            await locks.hold(db, locks.Lock.FOLDING)
            asset = await assets.locked(db, _sort(request), request.number)
            if asset is None:
                raise not_found(_NO_ASSET)
            monitoring = self._monitoring(db, request)
            for monitor_id in await assets.monitor_ids(db, asset.id):
                monitor = await monitors.locked(db, request.tenant_id, monitor_id)
                if monitor is not None:
                    await monitoring.remove(monitor)
            await self._note(db, request, AuditAction.ASSET_DELETED, asset)
            await assets.remove(db, request.tenant_id, asset.id)

    async def _add_parts(self, db: Db, request: CreateAsset, asset_id: str, labels: dict[str, str]) -> None:
        monitoring, monitor_ids = self._monitoring(db, request), {}
        quota = effective(await tenants.quota(db, request.tenant_id), self._terms.quota)
        for part, draft in request.parts.items():
            interval_s = allowed_interval_s(draft.interval_s, quota)
            monitor = await monitoring.add(replace(draft, labels=draft.labels | labels, interval_s=interval_s))
            monitor_ids[part] = monitor.id
        await assets.add_parts(db, asset_id, monitor_ids)

    async def _note(self, db: Db, request: CreateAsset | DeleteAsset, action: AuditAction, asset: Stored) -> None:
        object_id = f"{_sort(request).name}/{asset.number}"
        deed = Deed(action=action, object_id=object_id, object_name=asset.identity)
        await audit.add(db, request.tenant_id, request.actor, deed, self._clock())

    @contextlib.asynccontextmanager
    async def _command(self) -> AsyncIterator[Db]:
        """A transaction after which there may be something to publish."""
        async with self._store.transaction() as db:
            yield db
        self._on_commit()

    def _monitoring(self, db: Db, command: Command[Any]) -> Monitoring:
        return Monitoring(db, command, self._terms, self._clock())


def _sort(request: CreateAsset | ListAssets | DeleteAsset) -> Sort:
    return Sort(tenant_id=request.tenant_id, dialect=request.dialect, sort=request.sort)


def _shown(asset: Asset) -> Asset:
    return replace(asset, parts={part: shown(view) for part, view in asset.parts.items()})
